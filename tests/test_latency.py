"""The latency of a language model's call comes from the times of its two events, in whichever order they arrive."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from request_logger.documents.document import degrade
from request_logger.documents.event import Body, from_headers
from request_logger.documents.latency import with_latency
from request_logger.settings import Settings
from tests.helpers import event
from tests.model import in_order
from tests.payloads.llm.test_streams import CHUNKS, sent

BODIES = {
    "request": b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": true}',
    "response": sent(*CHUNKS),
    "feedback": b'{"reward": 1}',
}
TIMES = {
    "request": "2026-03-01T10:00:00.25Z",
    "response": "2026-03-01T10:00:02.750000001Z",
    "feedback": "2026-03-02T10:00:00Z",
}


def stored(parts: Any, times: dict[str, str], bodies: dict[str, bytes]) -> dict[str, Any]:
    events = []
    for part in parts:
        headers = {name.lower(): value for name, value in event(part, "r1", "chat").items()}
        headers.pop("ce-time", None)
        if part in times:
            headers["ce-time"] = times[part]
        body = Body(bodies[part], "application/json", len(bodies[part]))
        events.append(from_headers(headers, body, Settings()))
    (document,) = in_order(events).values()
    return document


@pytest.mark.parametrize("order", list(itertools.permutations(BODIES)), ids="-".join)
def test_in_any_order(order: tuple[str, ...]) -> None:
    """And if each event comes twice."""
    assert stored(order + order, TIMES, BODIES)["latency_seconds"] == 2.500000001


def test_a_later_response_replaces_it() -> None:
    """It belongs to the response that the document has."""
    assert "latency_seconds" not in stored(["request", "feedback"], TIMES, BODIES)
    document = stored(["request", "response"], TIMES, BODIES)
    for time, latency in (("2026-03-01T10:00:00.25Z", 0.0), ("2026-03-01T10:00:00Z", None), ("soon", None)):
        changed = {**document, "response": {**document["response"], "ce-time": time}}
        assert with_latency(changed).get("latency_seconds") == latency
    assert with_latency(document) is document
    assert "latency_seconds" not in with_latency({**document, "nodes": {}})


@pytest.mark.parametrize("missing", ["request", "response"])
def test_without_both_times(missing: str) -> None:
    """The time of arrival isn't that of the call."""
    times = {part: time for part, time in TIMES.items() if part != missing}
    assert "latency_seconds" not in stored(BODIES, times, BODIES)


def test_other_models_have_none() -> None:
    """Their documents don't change."""
    bodies = {"request": b'{"instances": [1]}', "response": b'{"predictions": [1]}', "feedback": b'{"truth": [1]}'}
    assert "latency_seconds" not in stored(BODIES, TIMES, bodies)


def test_a_refused_document_is_stored_without_it() -> None:
    """A strict mapping may refuse the field, and it can be computed again."""
    document = stored(BODIES, TIMES, BODIES)
    reason = "mapping set to strict, dynamic introduction of [latency_seconds] within [_doc] is not allowed"
    form = degrade(document, [reason])
    assert form is not None
    assert "latency_seconds" not in form
    assert json.dumps(form["metrics"])
