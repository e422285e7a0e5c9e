"""Ollama's own API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from request_logger.payloads import UndecodableError, decode_body

COUNTS = {
    "done": True,
    "done_reason": "stop",
    "total_duration": 1_500_000_000,
    "prompt_eval_count": 26,
    "eval_count": 3,
}
ELEMENTS = {
    "model": "m", "prompt_tokens": 26, "completion_tokens": 3, "total_tokens": 29, "finish_reason": "stop",
    "latency_seconds": 1.5,
}  # fmt: skip


def row(*lines: Any) -> tuple[Any, Any, Any]:
    decoded = decode_body(b"\n".join(json.dumps(line).encode() for line in lines))
    [item] = decoded.items
    return item.instance, item.elements, decoded.payload


def test_requests() -> None:
    """Parameters are under options."""
    chat = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "options": {"temperature": 0.5, "seed": 1}}
    assert row(chat)[:2] == ("Hi", {"model": "m", "temperature": 0.5, "seed": 1})
    assert row({"model": "m", "prompt": "Hi", "stream": False, "keep_alive": "5m"})[:2] == (
        "Hi",
        {"model": "m", "stream": False},
    )
    # Without any field of Ollama's own they are read as OpenAI's.
    assert row({"model": "m", "prompt": "Hi", "stream": False})[:2] == ("Hi", {"model": "m", "stream": False})


def test_responses() -> None:
    """Counts and durations have names of their own."""
    assert row({"model": "m", "message": {"role": "assistant", "content": "Paris"}, **COUNTS})[:2] == (
        "Paris",
        ELEMENTS,
    )
    assert row({"model": "m", "response": "Paris", "context": [1, 2], **COUNTS})[:2] == ("Paris", ELEMENTS)
    call = {"function": {"name": "add", "arguments": {"a": 1}}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    assert row({"model": "m", "message": message, **COUNTS})[:2] == ('add({"a":1})', {**ELEMENTS, "tool_calls": "add"})


@pytest.mark.parametrize("field", ["message", "response"])
def test_streams(field: str) -> None:
    """One object per line; the last one has the counts."""

    def line(text: str, **more: Any) -> dict[str, Any]:
        return {"model": "m", field: {"role": "assistant", "content": text} if field == "message" else text, **more}

    lines = [line("Pa", done=False), line("ris é", done=False), line("", **COUNTS)]
    text, elements, payload = row(*lines)
    assert (text, elements) == ("Paris é", {**ELEMENTS, "stream": "complete"})
    assert payload == {**line("Paris é", **COUNTS), "stream": "complete"}
    assert row(*lines[:2])[:2] == ("Paris é", {"model": "m", "stream": "cut"})
    assert row(lines[0])[:2] == ("Pa", {"model": "m", "stream": "cut"})
    raw = b"\n".join(json.dumps(each, ensure_ascii=False).encode() for each in lines[:2])
    # Within a character.
    decoded = decode_body(raw[: raw.index("é".encode()) + 1])
    assert (decoded.items[0].instance, decoded.items[0].elements) == ("Pa", {"model": "m", "stream": "cut"})


def test_other_lines_of_json_are_no_stream() -> None:
    """As before."""
    with pytest.raises(UndecodableError, match="body is not JSON"):
        decode_body(b'{"a": 1}\n{"done": true, "response": "x"}')
