"""Decodes the bodies of Ollama's own API: chat and generate, and their assembled streams."""

from __future__ import annotations

from typing import Any

from request_logger.payloads.base import Decoded, columns_in
from request_logger.payloads.llm import fields
from request_logger.payloads.llm.streams import State

_ANSWERS = ("message", "response")
_ASKS = ("messages", "prompt")
# Fields that only Ollama's requests have; without any of them a request is read as OpenAI's, with the same result.
_OWN = frozenset({"options", "keep_alive"})
_NANOSECONDS = 1e9


class OllamaDecoder:
    """Decodes Ollama's requests (with ``options`` or ``keep_alive``) and responses (with ``done``)."""

    def accepts(self, body: dict[str, Any]) -> bool:
        """Return whether a body has the fields of such a request or response."""
        if "done" in body:
            return any(name in body for name in _ANSWERS)
        return "model" in body and not _OWN.isdisjoint(body) and any(name in body for name in _ASKS)

    def columns(self, body: dict[str, Any]) -> list[str]:
        """Return the names of the elements."""
        return columns_in(self.decode(body))

    def decode(self, body: dict[str, Any]) -> Decoded:
        """Return one row: the text of the last user message or the prompt, or that of the answer."""
        return _response(body) if "done" in body else _request(body)


def _request(body: dict[str, Any]) -> Decoded:
    options = body.get("options")
    elements = {**(fields.parameters(options) if isinstance(options, dict) else {}), **fields.parameters(body)}
    if "messages" in body:
        return fields.row(fields.last_user_text(fields.objects(body, "messages")), elements, body)
    return fields.row(fields.text_of(body["prompt"]), elements, body)


def _response(body: dict[str, Any]) -> Decoded:
    elements = fields.outcome(body)
    asked, answered = body.get("prompt_eval_count"), body.get("eval_count")
    elements |= fields.tokens({"prompt_tokens": asked, "completion_tokens": answered})
    if fields.is_number(asked) and fields.is_number(answered):
        elements["total_tokens"] = asked + answered  # type: ignore[operator]
    elements["finish_reason"] = fields.distinct([body.get("done_reason")])
    if fields.is_number(body.get("total_duration")):
        elements["latency_seconds"] = body["total_duration"] / _NANOSECONDS
    if body["done"] is not True:
        # A stream that was cut after its first line is read as a single object.
        elements.setdefault("stream", State.CUT.value)
    message = body.get("message")
    if isinstance(message, dict):
        calls = _calls(message)
        elements["tool_calls"] = fields.distinct(name for name, _ in calls)
        text = fields.text_of(message.get("content"))
        return fields.row(text or fields.calls_text(calls) or text, elements, body)
    return fields.row(fields.text_of(body.get("response")), elements, body)


def _calls(message: dict[str, Any]) -> list[tuple[Any, Any]]:
    return [
        (function.get("name"), fields.json_text(function.get("arguments")))
        for function in fields.called_functions(message)
    ]
