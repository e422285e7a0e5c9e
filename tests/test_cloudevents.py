"""Events in binary and structured mode: what the CloudEvents SDK writes in both is read as the same event."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from request_logger.documents.envelope import parse_batch, parse_structured
from request_logger.documents.event import (
    BadEventError,
    Body,
    Event,
    IgnoredEventError,
    from_headers,
    from_structured,
    kept_body,
    kind_of,
    owner_of,
    with_body,
)
from request_logger.settings import Settings

SETTINGS = Settings()
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
ATTRIBUTES = {
    "id": "e1",
    "source": "http://:8000/",
    "type": "io.seldon.serving.inference.request",
    "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "requestid": "r1",
    "modelid": "classifier",
    "inferenceservicename": "iris",
    "namespace": "prod",
    "endpoint": "default",
    "traceparent": PARENT,
}
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
DATA = st.dictionaries(
    st.text(max_size=5), st.recursive(NUMBERS | st.text(max_size=5) | st.none(), lambda x: st.lists(x, max_size=3))
)


def binary(headers: dict[str, str], body: bytes = b"") -> Event:
    lower = {name.lower(): value for name, value in headers.items()}
    return from_headers(lower, kept_body(body, lower.get("content-type"), SETTINGS), SETTINGS)


def structured(**changes: Any) -> Event:
    """An event of these attributes; None is left out."""
    given = {**ATTRIBUTES, "time": "2026-01-02T03:04:05Z", "data": {}, **changes}
    value = {name: item for name, item in given.items() if item is not None}
    return from_structured(parse_structured(json.dumps(value).encode()), SETTINGS)


def data_of(event: Event) -> bytes:
    assert event.body.raw is not None
    return event.body.raw


@given(data=DATA)
def test_json_in_both_modes(data: dict[str, Any]) -> None:
    """All fields are equal, and the bodies are the same JSON, to the last digit of a number."""
    event = CloudEvent({**ATTRIBUTES, "datacontenttype": "application/json"}, data)
    plain, whole = to_binary(event, JSONFormat()), to_structured(event, JSONFormat())
    one = binary(plain.headers, plain.body)
    other = from_structured(parse_structured(whole.body), SETTINGS)
    for field in fields(Event):
        if field.name != "body":
            assert getattr(one, field.name) == getattr(other, field.name), field.name
    assert json.loads(data_of(one)) == json.loads(data_of(other)) == data
    assert one.body.content_type == other.body.content_type == "application/json"


@given(data=st.binary(max_size=40))
def test_bytes_in_both_modes(data: bytes) -> None:
    """The bodies are the same bytes: base64 in structured mode."""
    event = CloudEvent({**ATTRIBUTES, "datacontenttype": "application/x-protobuf"}, data)
    plain, whole = to_binary(event, JSONFormat()), to_structured(event, JSONFormat())
    one, other = binary(plain.headers, plain.body), from_structured(parse_structured(whole.body), SETTINGS)
    assert data_of(one) == data_of(other) == data
    assert one.body == other.body
    # Specversion 0.3 has base64 in the data itself.
    old = structured(data=base64.b64encode(data).decode(), datacontentencoding="BASE64")
    assert data_of(old) == data


@pytest.mark.parametrize(
    ("content_type", "data", "raw"),
    [
        (None, {"a": [1, 2.5]}, b'{"a":[1,2.5]}'),
        (None, "text", b"text"),
        ("text/plain", "é", "é".encode()),
        ("application/json", "text", b'"text"'),
        ("application/vnd.kserve.v2+json", "text", b'"text"'),
        ("application/x-protobuf", "\u00ff\u0001", b"\xff\x01"),
        ("application/x-protobuf", "\u2190", "\u2190".encode()),
        ("text/plain", "\ud800", b"\xed\xa0\x80"),
        ("application/json", False, b"false"),
        ("application/json", 0, b"0"),
        (None, None, b""),
    ],
)
def test_data(content_type: str | None, data: Any, raw: bytes) -> None:
    """JSON as it was written, text as its characters; a Go sender's protobuf is text with a character per byte."""
    found = structured(data=data, datacontenttype=content_type)
    assert data_of(found) == raw
    assert (found.body.content_type, found.body.size) == (content_type, len(raw))


def test_data_that_is_no_base64() -> None:
    """It is refused by name, in either field."""
    for fields_of in ({"data_base64": "a"}, {"data_base64": 7}, {"data": "a", "datacontentencoding": "base64"}):
        with pytest.raises(BadEventError, match=r"^data_base64: expected base64 text$"):
            structured(**fields_of)


def test_body_that_is_no_utf8() -> None:
    """A Go sender writes protobuf into the JSON text: it is read as latin-1, byte by byte."""
    raw = json.dumps({**ATTRIBUTES, "time": None, "datacontenttype": "application/protobuf", "data": "@"}).encode()
    found = from_structured(parse_structured(raw.replace(b"@", b"\x80\xff")), SETTINGS)
    assert data_of(found) == b"\x80\xff"


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
def test_body_that_is_no_json(raw: bytes) -> None:
    """One line says so."""
    with pytest.raises(BadEventError, match=r"^body: expected a CloudEvent as JSON, found no JSON \("):
        parse_structured(raw)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({}, "an object"),
        ([], "an array"),
        ("a", "text"),
        (True, "a boolean"),
        (None, "null"),
        (1, "a number"),
        (0.5, "a number"),
    ],
)
def test_wrong_kind_of_event(value: Any, kind: str) -> None:
    """An event is an object, a batch an array; what was found instead is named, and not quoted."""
    assert kind_of(value) == kind
    raw = json.dumps(value).encode()
    if kind != "an object":
        with pytest.raises(BadEventError, match=rf"^event: expected a JSON object, found {kind}$"):
            from_structured(parse_structured(raw), SETTINGS)
    if kind == "an array":
        assert list(parse_batch(b'[1, {"a": 2}]')) == [1, {"a": 2}]
    else:
        with pytest.raises(BadEventError, match=rf"^body: expected a JSON array of CloudEvents, found {kind}$"):
            parse_batch(raw)


def test_body_over_the_limit() -> None:
    """A body of the limit is kept; of a longer one the size and the hash."""
    limited = Settings(max_payload_bytes=4)
    assert kept_body(b"1234", "text/plain", limited) == Body(b"1234", "text/plain", 4)
    assert kept_body(b"12345", None, limited) == Body(None, None, 5, hashlib.sha256(b"12345").hexdigest())
    event = {**ATTRIBUTES, "time": None, "data": "12345"}
    assert from_structured(event, Settings(max_payload_bytes=4)).body.raw is None
    assert from_structured(event, Settings(max_payload_bytes=5)).body.raw == b"12345"


@pytest.mark.parametrize(
    ("type_", "engine", "kind", "part"),
    [
        ("io.seldon.serving.inference.request", "seldon", "inference", "request"),
        ("io.seldon.serving.inference.response", "seldon", "inference", "response"),
        ("org.kubeflow.serving.inference.request", "inferenceservice", "inference", "request"),
        ("org.kubeflow.serving.inference.response", "inferenceservice", "inference", "response"),
        ("io.seldon.serving.reference.request", "seldon", "reference", "request"),
        ("org.kubeflow.serving.reference.response", "inferenceservice", "reference", "response"),
        ("io.seldon.serving.feedback", "seldon", "inference", "feedback"),
        ("io.seldon.serving.inference.outlier", "seldon", "inference", "outlier"),
        ("io.seldon.serving.inference.drift", "seldon", "drift", "drift"),
    ],
)
def test_types(type_: str, engine: str, kind: str, part: str) -> None:
    """Engine, kind and part are in the type; the kind is in the name of the index."""
    found = structured(type=type_)
    assert (found.header["ServingEngine"], found.kind, found.part) == (engine, kind, part)
    rest = {"inference": "prod-iris-default", "reference": "prod-iris", "drift": "prod-iris"}[kind]
    assert found.index == f"{kind}-log-{engine}-{rest}"


@pytest.mark.parametrize(
    "type_", ["inference.request", "io.seldon.serving.", "io.seldon.serving.inference", "xio.seldon.serving.feedback"]
)
def test_unknown_types(type_: str) -> None:
    """They are ignored under one label, and the field is named in the mode's own spelling."""
    with pytest.raises(IgnoredEventError, match=r"^Type: of a type") as caught:
        structured(type=type_)
    assert caught.value.reason == "unknown_type"
    with pytest.raises(IgnoredEventError, match=r"^Ce-Type: "):
        binary({"ce-id": "1", "ce-type": type_})


@pytest.mark.parametrize(
    ("missing", "index"),
    [
        ("namespace", "inference-log-seldon-unknown-namespace-iris-default"),
        ("endpoint", "inference-log-seldon-prod-iris-unknown-endpoint"),
        ("inferenceservicename", "inference-log-seldon-prod-classifier-default"),
        ("modelid", "inference-log-seldon-prod-iris-default"),
    ],
)
def test_missing_names(missing: str, index: str) -> None:
    """The index says what is unknown; a deployment without a name has that of its model."""
    found = structured(**{missing: None})
    assert found.index == index
    assert found.node == ("" if missing == "modelid" else "classifier")
    field = {"namespace": "Ce-Namespace", "endpoint": "Ce-Endpoint", "modelid": "Ce-Modelid"}.get(missing)
    assert field is None or field not in found.header


def test_nothing_is_named() -> None:
    """Not even the model."""
    found = structured(namespace=None, endpoint=None, inferenceservicename=None, modelid=None)
    assert found.index == "inference-log-seldon-unknown-namespace-unknown-inferenceservice-unknown-endpoint"
    assert found.header == {"ServingEngine": "seldon", "Ce-Inferenceservicename": None, "RequestId": "r1"}


def test_names_of_indices_by_settings() -> None:
    """INDEX_NAME replaces the whole name, SELDON_ENVIRONMENT is a part of it."""
    event = {**ATTRIBUTES, "time": None}
    assert from_structured(event, Settings(index_name="all")).index == "all"
    found = from_structured(event, Settings(seldon_environment="test"))
    assert found.index == "inference-log-test-seldon-prod-iris-default"


@pytest.mark.parametrize("size", [900, 1100, 8192, 8193])
def test_long_names(size: int) -> None:
    """A node's name is a field name: what an engine can't take is shortened, and no two names become one."""
    names = ["x" * (size - 1) + end for end in "ab"]
    one, other = (structured(modelid=name).node for name in names)
    assert one != other
    if size <= 8192:
        assert [one, other] == names
    else:
        assert {len(one), len(other)} == {8192 + 17}
        assert one[:8192] == other[:8192] == "x" * 8192


def test_long_name_that_is_no_text() -> None:
    """JSON can have half of a character: its name is shortened, too."""
    (one, other) = (
        from_structured({**ATTRIBUTES, "time": None, "modelid": "x" * 8192 + half}, SETTINGS).node
        for half in ("\ud800", "\ud801")
    )
    assert one != other
    assert len(one) == 8192 + 17


def test_required_attributes() -> None:
    """Without an id there is no prediction, without a type no part; an event's id may stand for the request's."""
    with pytest.raises(BadEventError, match=r"^Requestid: missing, and so is Id; expected"):
        structured(requestid=None, id=None)
    with pytest.raises(BadEventError, match=r"^Ce-Requestid: missing, and so is Ce-Id; expected"):
        binary({"ce-type": ATTRIBUTES["type"]})
    with pytest.raises(BadEventError, match=r"^Ce-Type: missing; expected .*inference\.request, inference\.response"):
        binary({"ce-id": "1"})
    assert (structured(requestid=None).request_id, structured(requestid=None).id) == ("e1", "e1")
    assert (structured(id=None).request_id, structured(id=None).id) == ("r1", "r1")
    assert (structured().request_id, structured().id) == ("r1", "e1")


@pytest.mark.parametrize(
    ("parent", "trace"),
    [
        (PARENT, TRACE),
        (f" {PARENT.upper()} ", TRACE),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (PARENT[:-3], None),
        ("", None),
        (None, None),
    ],
)
def test_trace(parent: str | None, trace: str | None) -> None:
    """The trace of a valid traceparent."""
    assert structured(traceparent=parent).trace_id == trace


def test_trace_of_the_message() -> None:
    """A message's own header counts where the event has none."""
    headers = {"ce-id": "1", "ce-type": ATTRIBUTES["type"], "traceparent": PARENT.replace("4b", "5c")}
    assert binary(headers).trace_id == TRACE.replace("4b", "5c")
    assert binary({**headers, "ce-traceparent": PARENT}).trace_id == TRACE


@pytest.mark.parametrize("name", ["iris", "é", "日本"])
def test_text_of_headers(name: str) -> None:
    """WSGI gives headers as latin-1; senders write UTF-8. What isn't UTF-8 stays latin-1."""
    headers = {"ce-id": "1", "ce-type": ATTRIBUTES["type"]}
    assert binary({**headers, "ce-modelid": name.encode().decode("latin-1")}).node == name
    assert binary({**headers, "ce-modelid": "\u00ff"}).node == "\u00ff"
    assert binary({**headers, "ce-modelid": "\u2190"}).node == "\u2190"


def test_owner_and_day() -> None:
    """The deployment in the order of its fields, the day in UTC."""
    found = structured(time="2026-01-02T23:30:00-02:00")
    assert found.owner == ("seldon", "prod", "iris", "default")
    assert owner_of({"Ce-Endpoint": "a"}) == (None, None, None, "a")
    assert found.day == date(2026, 1, 3)


def test_another_body() -> None:
    """All else is that of the event."""
    found, body = structured(), Body(b"other", "text/plain", 5)
    assert with_body(found, body) == replace(found, body=body)
