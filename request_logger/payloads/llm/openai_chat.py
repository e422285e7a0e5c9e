"""Chat completions and completions: their requests and responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from request_logger.payloads.base import Decoded, Item, UndecodableError
from request_logger.payloads.llm import fields


def chat_request(body: dict[str, Any]) -> Decoded:
    """Return the text of the last user message."""
    return fields.row(fields.last_user_text(fields.objects(body, "messages")), fields.parameters(body), body)


def completion_request(body: dict[str, Any]) -> Decoded:
    """Return a row per prompt: a text, or the list of its tokens."""
    prompt = body["prompt"]
    if not isinstance(prompt, (str, list)) or prompt == []:
        raise UndecodableError("prompt: expected text, tokens, or a list of them")
    prompts = prompt if isinstance(prompt, list) and all(isinstance(each, (str, list)) for each in prompt) else [prompt]
    if len(prompts) == 1:
        return fields.row(prompts[0], fields.parameters(body), body)
    return Decoded("text", [Item(each, fields.parameters(body)) for each in prompts])


def response(body: dict[str, Any]) -> Decoded:
    """Return the answer's text; of several choices the list of their texts."""
    choices = _in_order(fields.objects(body, "choices"))
    elements = fields.outcome(body)
    elements["finish_reason"] = fields.distinct(choice.get("finish_reason") for choice in choices)
    messages = [choice["message"] for choice in choices if isinstance(choice.get("message"), dict)]
    elements["tool_calls"] = fields.distinct(name for message in messages for name, _ in _calls(message))
    if any(isinstance(message.get("refusal"), str) for message in messages):
        elements["refusal"] = True
    if len(choices) > 1:
        elements["choices"] = len(choices)
    return fields.row(fields.one_or_all([_answer(choice) for choice in choices]), elements, body)


def _in_order(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return choices in the order of their indexes, where all have one."""
    indexes = [choice.get("index") for choice in choices]
    if not all(type(index) is int for index in indexes):
        return choices
    return sorted(choices, key=lambda choice: choice["index"])


def _answer(choice: dict[str, Any]) -> str | None:
    message = choice.get("message")
    if not isinstance(message, dict):
        text = choice.get("text")
        return text if isinstance(text, str) else None
    text = fields.text_of(message.get("content"))
    if text:
        return text
    refusal = message.get("refusal")
    return fields.calls_text(_calls(message)) or (refusal if isinstance(refusal, str) else text)


def _calls(message: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the names and arguments of a message's tool calls, and of its function call in the older form."""
    for function in (*fields.called_functions(message), message.get("function_call")):
        if isinstance(function, dict):
            yield function.get("name"), function.get("arguments")
