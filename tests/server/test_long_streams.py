"""MAX_PAYLOAD_BYTES and streams: a long one is put together while it is read, and the limit applies to its answer."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pytest

from request_logger.documents.event import Body, from_headers, from_structured, kept_body
from request_logger.documents.parts import parts_of
from request_logger.ingest.memory_budget import Budget, NoRoomError
from request_logger.server.request_body import WholeBody, read_body
from request_logger.settings import Settings
from tests.helpers import event
from tests.payloads.llm.test_streams import chunk, sent

SETTINGS = Settings()
WORDS = [f"word {number} " for number in range(4000)]
LONG = sent(*(chunk(content=word) for word in WORDS), chunk(finish="stop"))
PLAIN = json.dumps({"choices": [{"message": {"content": "x" * len(LONG)}}]}).encode()


def whole(raw: bytes, *, has_length: bool) -> WholeBody:
    length = {"CONTENT_LENGTH": str(len(raw))} if has_length else {"HTTP_TRANSFER_ENCODING": "chunked"}
    return WholeBody({"wsgi.input": io.BytesIO(raw), "wsgi.input_terminated": True, **length})


def read(raw: bytes, settings: Settings, *, has_length: bool = True) -> Body:
    """Read a body as from a socket; everything that was reserved for it is given back."""
    budget = Budget(settings.memory_budget_bytes)
    with budget.share() as share:
        body = read_body(whole(raw, has_length=has_length), "application/json", settings, share)
        assert share.held_bytes > 0
    assert budget.held_bytes == 0
    return body


@pytest.mark.parametrize("has_length", [True, False], ids=["length", "chunks"])
def test_a_long_stream_is_put_together(has_length: bool) -> None:
    """Over HTTP, in a structured event, and from Kafka the same: as JSON, of the size of its text."""
    assert len(LONG) > SETTINGS.max_payload_bytes
    body = read(LONG, SETTINGS, has_length=has_length)
    assert body == kept_body(LONG, "text/event-stream", SETTINGS)
    assert body.raw is not None
    assert body.size == len(body.raw) < len(LONG) // 10
    made = from_headers(
        {name.lower(): value for name, value in event("response", "r1", "chat").items()}, body, SETTINGS
    )
    (part,) = parts_of(made)
    assert part.content["instance"] == "".join(WORDS)
    assert part.content["elements"]["stream"] == "complete"
    structured = {"type": made_type(), "id": "r1", "data": LONG.decode(), "datacontenttype": "text/event-stream"}
    assert from_structured(structured, SETTINGS).body == body


def made_type() -> str:
    return event("response", "r1", "chat")["Ce-Type"]


@pytest.mark.parametrize(
    ("raw", "changed"),
    [
        (LONG, {"max_stream_bytes": len(LONG) - 1}),
        (LONG, {"max_payload_bytes": 10_000}),
        (LONG, {"memory_budget_bytes": 2**20}),
        (PLAIN, {}),
        (b"data: {}\n\n" * 40_000, {}),
        (b": comment\n" + PLAIN, {}),
    ],
    ids=["too long", "answer too long", "small budget", "no stream", "unknown stream", "comment"],
)
@pytest.mark.parametrize("has_length", [True, False], ids=["length", "chunks"])
def test_the_size_and_the_hash_of_others(raw: bytes, changed: dict[str, Any], has_length: bool) -> None:
    """As of any other body over the limit."""
    settings = Settings(**changed)
    expected = Body(None, "application/json", len(raw), hashlib.sha256(raw).hexdigest())
    assert read(raw, settings, has_length=has_length) == expected
    assert kept_body(raw, "application/json", settings) == expected


def test_its_memory_is_counted() -> None:
    """A stream that is longer than what is left of the budget is refused until a retry, as any other body."""
    budget = Budget(SETTINGS.memory_budget_bytes)
    budget.take(SETTINGS.memory_budget_bytes - SETTINGS.max_payload_bytes - 1)
    with budget.share() as share, pytest.raises(NoRoomError):
        read_body(whole(LONG, has_length=True), None, SETTINGS, share)
