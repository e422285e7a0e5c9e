"""Bytes of real servers: what the `openai` client made of them is what is stored.

tests/data/llm has one file per server. Each line is an exchange: the request, the bytes of the response (after chunked
transfer encoding), compressed, and the object that the client library (3.57) assembled: of fakellm 0.3.5, and of the
proxy of LiteLLM with ``mock_response``.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from typing import Any

import pytest

from request_logger.payloads import decode_body
from tests.helpers import DATA

RECORDED: dict[str, dict[str, Any]] = {}
for path in sorted((DATA / "llm").glob("*.jsonl")):
    for line in path.read_text().splitlines():
        exchange = json.loads(line)
        RECORDED[f"{path.stem}:{exchange['case']}"] = exchange
# Of these the client gives no whole object: its text is recorded.
TEXTS = [name for name, each in RECORDED.items() if each["client"].keys() == {"text"}]
OBJECTS = [name for name in RECORDED if name not in TEXTS]


def body_of(name: str) -> bytes:
    return zlib.decompress(base64.b64decode(RECORDED[name]["body"]))


def said(value: Any) -> Any:
    """Return an object without nulls, and without what the client adds to it.

    Of a server that repeats the role in every chunk, the client joins the roles to ``assistantassistant...``.
    """
    if isinstance(value, dict):
        if isinstance(value.get("role"), str):
            value = {**value, "role": re.sub(r"^(assistant)+$", "assistant", value["role"])}
        calls = value.get("tool_calls")
        if isinstance(calls, list):
            value = {**value, "tool_calls": [{k: v for k, v in call.items() if k != "index"} for call in calls]}
        return {key: said(entry) for key, entry in value.items() if entry is not None}
    return [said(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize("form", [bytes, gzip.compress], ids=["as it came", "gzip"])
@pytest.mark.parametrize("name", OBJECTS)
def test_what_the_client_assembled_is_stored(name: str, form: Any) -> None:
    """Choices, calls of tools, usage, and each character."""
    decoded = decode_body(form(body_of(name)), "application/json", keeps_vectors=True)
    stored = {key: value for key, value in decoded.payload.items() if key != "stream"}
    assert said(stored) == said(RECORDED[name]["client"])
    is_stream = RECORDED[name]["request"].get("stream") is True
    assert (decoded.payload.get("stream") == "complete") == is_stream


@pytest.mark.parametrize("name", TEXTS)
def test_what_the_client_read_is_the_text(name: str) -> None:
    """A stream that the client left is cut."""
    [item] = decode_body(body_of(name)).items
    assert item.elements is not None
    text = RECORDED[name]["client"]["text"]
    if name.endswith("_cut"):
        # The client read no further than this.
        assert item.elements["stream"] == "cut"
        assert item.instance.startswith(text)
    else:
        assert (item.instance, item.elements["stream"]) == (text, "complete")


@pytest.mark.parametrize("name", RECORDED)
def test_requests_have_their_text(name: str) -> None:
    """The question is what the user wrote last."""
    request = RECORDED[name]["request"]
    items = decode_body(json.dumps(request).encode()).items
    assert (items[0].elements or {})["model"] == request["model"]
    if "messages" in request:
        assert [item.instance for item in items] in (["The capital of France?"], ["What is the weather in Zürich?"])


def test_recordings_are_there() -> None:
    """Of both kinds, one of them with 2,000 chunks."""
    assert len(OBJECTS) >= 6
    assert TEXTS
    assert max(body_of(name).count(b"data: ") for name in RECORDED) > 2000
