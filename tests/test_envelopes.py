"""Structured and batched events whose large data stays text: the same events as when everything is parsed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from request_logger.common.json import JsonText
from request_logger.documents import envelope
from request_logger.documents.envelope import event_json, parse_array, parse_batch, parse_structured
from request_logger.documents.event import BadEventError, Event, IgnoredEventError, from_structured
from request_logger.documents.typed_envelope import from_parsed, typed_batch
from request_logger.ingest.memory_budget import Budget
from request_logger.payloads import UndecodableError, parse_body
from request_logger.server.batch_elements import elements
from request_logger.settings import Settings

SETTINGS = Settings()
BASE = {"id": "1", "type": "io.seldon.serving.inference.request", "inferenceservicename": "a", "time": "2026-01-01"}
LARGE = {"instances": [[0.25] * 5000]}


def event_of(value: Any) -> tuple[Event, Any] | str:
    """Return an event without its body, and the body as it is stored; or the error."""
    try:
        event = from_parsed(value, SETTINGS)
    except (BadEventError, IgnoredEventError) as error:
        return str(error)
    body = event.body
    try:
        stored = parse_body(body.raw or b"", body.content_type)
    except UndecodableError as error:
        # It may have the position of a character.
        stored = str(error).partition(":")[0]
    return replace(event, body=replace(body, raw=None, size=0), timestamp=""), stored


def parsed(raw: bytes) -> Any:
    """Return the event of a body, or the error."""
    try:
        return event_of(parse_structured(raw))
    except BadEventError as error:
        return str(error).partition(" (")[0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=True) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NAMES = "id ID type time Namespace requestid data Data data_base64 datacontenttype datacontentencoding traceparent x"
names = st.sampled_from(NAMES.split())
bodies = st.builds(
    lambda base, more, as_ascii: json.dumps({**base, **more}, ensure_ascii=as_ascii).encode("utf-8", "surrogatepass"),
    st.sampled_from([BASE, {}, {**BASE, "datacontenttype": "application/json"}]),
    st.dictionaries(names, json_values | st.sampled_from(["base64", "YQ==", "application/json"]), max_size=4),
    st.booleans(),
)
PIECES = (*'[]{}",:0\\', "null", "1e999", "NaN", '"data":{"a":1},', '"id":"2",', "\ud800", "\u00e9")


@pytest.fixture
def all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data of any size stays text."""
    monkeypatch.setattr(envelope, "LEAST_BYTES", 1)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=bodies, place=st.integers(0), piece=st.sampled_from(["", *PIECES]), repeat=st.booleans())
def test_events_are_the_same(all_sizes: None, raw: bytes, place: int, piece: str, repeat: bool) -> None:
    """Whatever the envelope: the same attributes, the same stored body, or the same error."""
    at = place % (len(raw) + 1) if repeat else 1
    raw = raw[:at] + piece.encode("utf-8", "surrogatepass") + raw[at:]
    found = parsed(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope, "LEAST_BYTES", 2**30)
        expected = parsed(raw)
    assert repr(found) == repr(expected)
    typed = typed_batch(b"[%b]" % raw)
    if typed:
        values = list(parse_batch(b"[%b]" % raw))
        assert repr(list(map(event_of, typed))) == repr(list(map(event_of, values)))
        assert repr([event_of(parse_structured(event_json(value))) for value in typed]) == repr(
            list(map(event_of, values))
        )


def test_usual_batches_are_typed() -> None:
    """A batch of events with the usual attributes is decoded to a type; with another attribute, or none, it is not."""
    usual = {**BASE, "requestid": "1", "source": "s", "specversion": "1.0", "modelid": "m", "data": {"x": [1, 2]}}
    for values, is_typed in (
        ([usual, {**usual, "id": "2", "time": None}], True),
        ([usual, {**usual, "component": "predictor"}], False),
        ([{**usual, "id": 1}], False),
        ([{**usual, "Type": "x"}], False),
        ({}, False),
    ):
        assert bool(typed_batch(json.dumps(values).encode())) is is_typed
    assert typed_batch(b'[{"data": {"a": "\xff"}}]') is None


def test_large_data_stays_text() -> None:
    """The data of a large event, alone and in a batch, is kept as the sender wrote it; small data is parsed."""
    raw = json.dumps({**BASE, "data": LARGE}).encode()
    found = parse_structured(raw)
    assert isinstance(found["data"], JsonText)
    assert found["data"].text == json.dumps(LARGE).encode()
    assert from_structured(found, SETTINGS).body.raw == json.dumps(LARGE).encode()
    (first, second) = parse_batch(b"[%b, %b]" % (raw, raw))
    assert isinstance(first["data"], JsonText)
    assert second == first == found
    assert type(parse_structured(json.dumps({**BASE, "data": {"x": 1}}).encode())["data"]) is dict


def test_a_batch_in_parts() -> None:
    """A batch over 1 MB is split into the same events, and their data stays text."""
    raw = json.dumps([{**BASE, "id": str(number), "data": LARGE} for number in range(60)]).encode()
    assert len(raw) > 2**20
    found = list(elements(raw, Budget(2**30), typed_batch))
    assert [value.id for value in found] == [str(number) for number in range(60)]
    assert all(bytes(value.data) == json.dumps(LARGE).encode() for value in found)


@pytest.mark.parametrize(
    "raw", [b"[1]", b'[{"a": 1}, 2]', b"{}", b"[", b'[{"data": {"a": }}]', b"", b'[{"data":"\xff"}]']
)
def test_other_arrays(all_sizes: None, raw: bytes) -> None:
    """What is not an array of objects in UTF-8 is read, or refused, as before."""
    assert not parse_array(raw)


def test_the_limit_counts_no_white_space() -> None:
    """An event that fits into MAX_PAYLOAD_BYTES without its white space is kept."""
    raw = json.dumps({**BASE, "data": LARGE}, indent=8).encode()
    limited = Settings(max_payload_bytes=30_000)
    assert len(parse_structured(raw)["data"].text) > 30_000
    body = from_structured(parse_structured(raw), limited).body
    assert body.raw is not None
    assert body.raw == json.dumps(LARGE, separators=(",", ":")).encode()
    assert from_structured(parse_structured(raw), Settings(max_payload_bytes=20_000)).body.raw is None
