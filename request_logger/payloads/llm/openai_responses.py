"""The Responses API: its requests and responses."""

from __future__ import annotations

from typing import Any

from request_logger.payloads.base import Decoded
from request_logger.payloads.llm import fields

_CALLS = frozenset({"function_call", "custom_tool_call"})


def request(body: dict[str, Any]) -> Decoded:
    """Return the text of the last user message of a list of items."""
    return fields.row(fields.last_user_text(fields.objects(body, "input")), fields.parameters(body), body)


def response(body: dict[str, Any]) -> Decoded:
    """Return the answer's text: that of all messages; without any, the calls of tools."""
    output = fields.objects(body, "output")
    elements = fields.outcome(body)
    calls = [(item.get("name"), item.get("arguments", item.get("input"))) for item in output if _kind(item) in _CALLS]
    elements["tool_calls"] = fields.distinct(name for name, _ in calls)
    details = body.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    # As chat completions name it: completed, or why the answer is incomplete.
    elements["finish_reason"] = fields.distinct([reason or body.get("status")])
    parts = [part for item in output if _kind(item) == "message" for part in _parts(item)]
    refusals = [part["refusal"] for part in parts if isinstance(part.get("refusal"), str)]
    if refusals:
        elements["refusal"] = True
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    answer = "".join(texts or refusals) or fields.calls_text(calls) or ("" if texts else None)
    return fields.row(answer, elements, body)


def _kind(item: dict[str, Any]) -> Any:
    kind = item.get("type")
    return kind if isinstance(kind, str) else None


def _parts(item: dict[str, Any]) -> list[dict[str, Any]]:
    content = item.get("content")
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
