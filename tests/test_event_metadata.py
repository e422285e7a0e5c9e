"""KServe's metadata, annotations, component, time and status: what is kept of them, in every way in."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from request_logger.common.json import dumps, loads
from request_logger.documents.document import degrade, expand
from request_logger.documents.envelope import parse_batch
from request_logger.documents.event import Body, Event, from_headers, from_structured
from request_logger.documents.event_metadata import (
    MOST_BYTES,
    MOST_NAME_CHARACTERS,
    MOST_NAMES,
    MOST_VALUES,
    NAMES,
    is_failure,
    read_extensions,
)
from request_logger.documents.parts import MAX_EXTENSION_BYTES, parts_of
from request_logger.ingest.redaction import Redactor
from request_logger.kafka.binding import event_of
from request_logger.kafka.record import Record
from request_logger.server.master import MOST_HEADER_BYTES
from request_logger.settings import Settings
from request_logger.spool.record import from_bytes, to_bytes
from tests.helpers import Index, Sender, event, index_of, ndarray
from tests.test_redaction import HASH, KEY

BODY = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 0.25]}]}'
# As KServe's agent sends them.
ATTRIBUTES = {
    "metadata": '{"X-Tenant":["acme"],"X-Forwarded-For":["10.0.0.1","10.0.0.2"]}',
    "annotations": '{"team":"risk"}',
    "component": "predictor",
    "recordedtime": "2026-01-02T03:04:05.6Z",
    "statuscode": "200",
}
KEPT = {
    "metadata": {"x-tenant": "acme", "x-forwarded-for": ["10.0.0.1", "10.0.0.2"]},
    "annotations": {"team": "risk"},
    "ce-component": "predictor",
    "ce-recordedtime": "2026-01-02T03:04:05.6Z",
    "ce-statuscode": 200,
}
COMMON = {
    "id": "r1",
    "type": "org.kubeflow.serving.inference.request",
    "inferenceservicename": "iris",
    "namespace": "n",
}


def binary(attributes: dict[str, str], config: Settings | None = None, body: bytes = BODY, **common: str) -> Event:
    headers = {f"ce-{name}": value for name, value in {**COMMON, **common, **attributes}.items()}
    return from_headers(headers, Body(body, "application/json", len(body)), config or Settings())


def structured(attributes: dict[str, Any]) -> Event:
    return from_structured({**COMMON, **attributes, "data": json.loads(BODY)}, Settings())


def batched(attributes: dict[str, Any]) -> Event:
    (value,) = parse_batch(json.dumps([{**COMMON, **attributes, "data": json.loads(BODY)}]).encode())
    return from_structured(value, Settings())


def record(headers: dict[str, str], value: bytes = BODY) -> Event:
    pairs = tuple((name, text.encode()) for name, text in headers.items())
    return event_of(Record("t", 0, 0, None, None, pairs, value), Settings(), lambda event: event)


def kafka(attributes: dict[str, str]) -> Event:
    return record({f"ce_{name}": value for name, value in {**COMMON, **attributes}.items()})


def kafka_without_prefix(attributes: dict[str, str]) -> Event:
    return record({**COMMON, **attributes})


def kafka_structured(attributes: dict[str, str]) -> Event:
    event = json.dumps({**COMMON, **attributes, "data": json.loads(BODY)}).encode()
    return record({"content-type": "application/cloudevents+json"}, event)


def content_of(event: Event) -> dict[str, Any]:
    (part,) = parts_of(event)
    return part.content


def added(event: Event) -> dict[str, Any]:
    """Return the fields that the attributes add to the part."""
    plain = binary({})
    return {name: value for name, value in content_of(event).items() if name not in content_of(plain)}


@pytest.mark.parametrize("way", [binary, structured, batched, kafka, kafka_without_prefix, kafka_structured])
def test_every_way_in_keeps_the_same(way: Any) -> None:
    """HTTP in binary, structured and batched mode, and Kafka's three forms of headers."""
    assert added(way(ATTRIBUTES)) == KEPT
    assert way(ATTRIBUTES).extensions == KEPT
    assert way({}).extensions is None


@pytest.mark.parametrize("part", ["request", "response"])
def test_both_parts_keep_them(part: str) -> None:
    event = binary(ATTRIBUTES, type=f"org.kubeflow.serving.inference.{part}")
    assert {name: content_of(event)[name] for name in KEPT} == KEPT


def test_the_spool_keeps_them() -> None:
    event = binary({**ATTRIBUTES, "metadata": '{"a": [{"b": 1}], "c": "d"}'})
    assert from_bytes(to_bytes(event)) == event
    assert added(from_bytes(to_bytes(event)))["metadata_unindexed"] == '{"metadata":{"a":[{"b":1}]}}'


def test_every_row_of_a_batch_has_them() -> None:
    """So that each row is in its slice; the copies of a large object in a large batch would fill the memory."""
    event = binary(ATTRIBUTES, body=ndarray([[1, 2], [3, 4]]))
    assert [part.content["metadata"] for part in parts_of(event)] == [KEPT["metadata"]] * 2
    large = {**ATTRIBUTES, "metadata": json.dumps({"a": ["x" * 30_000]})}
    rows = MAX_EXTENSION_BYTES // 30_000 + 1
    first, *others = (part.content for part in parts_of(binary(large, body=ndarray([[1]] * rows))))
    assert first["metadata"] == {"a": "x" * 30_000}
    assert len(others) == rows - 1
    for other in others:
        assert "metadata" not in other
        assert (other["ce-component"], other["ce-statuscode"]) == ("predictor", 200)


@pytest.mark.parametrize(
    ("attributes", "kept"),
    [
        ({"metadata": "{}", "annotations": "null", "component": "", "recordedtime": "", "statuscode": ""}, {}),
        ({"metadata": '{"X-A":[]}', "annotations": '{"b":null}'}, {}),
        ({"metadata": '{"X-A":["1"],"x-a":["2"]}'}, {"metadata": {"x-a": ["1", "2"]}}),
        ({"metadata": '{"X-A":"text"}'}, {"metadata": {"x-a": "text"}}),
        ({"annotations": '{"a": 1, "b": true, "c": [1.5, "d"]}'},
         {"annotations": {"a": "1", "b": "true", "c": ["1.5", "d"]}}),
        ({"metadata": '{"X-\u00c9":["\u00e9"]}'.encode().decode("latin-1")}, {"metadata": {"x-\u00e9": "\u00e9"}}),
        ({"metadata": quote('{"X-A":["b c"]}')}, {"metadata": {"x-a": "b c"}}),
        ({"metadata": '{"X-A":["100 %25"]}'}, {"metadata": {"x-a": "100 %25"}}),
        ({"metadata": r'{"a":"\ud800"}'}, {"metadata": {"a": "?"}}),
        ({"annotations": '{"serving.kserve.io/deploymentMode":"Standard"}'},
         {"annotations": {"serving.kserve.io/deploymentmode": "Standard"}}),
        ({"recordedtime": "Sun, 06 Nov 1994 08:49:37 GMT"}, {"ce-recordedtime": "1994-11-06T08:49:37Z"}),
    ],
)  # fmt: skip
def test_values(attributes: dict[str, str], kept: dict[str, Any]) -> None:
    assert added(binary(attributes)) == kept


@pytest.mark.parametrize(
    ("attributes", "kept"),
    [
        ({"metadata": "not JSON"}, {"metadata": "not JSON"}),
        ({"metadata": "[1]"}, {"metadata": "[1]"}),
        ({"metadata": '{"a":{"b":1},"c":[[1]]}'}, {"metadata": {"a": {"b": 1}, "c": [[1]]}}),
        ({"metadata": '{"":"a","b..c":"d"}'}, {"metadata": {"": "a", "b..c": "d"}}),
        ({"metadata": '{"%s":"b"}' % ("a" * (MOST_NAME_CHARACTERS + 1))},
         {"metadata": {"a" * (MOST_NAME_CHARACTERS + 1): "b"}}),
        ({"annotations": "x" * (MOST_BYTES + 1)},
         {"annotations": {"bytes": MOST_BYTES + 1, "reason": "expected at most 32768 bytes"}}),
        ({"component": "x" * 300, "recordedtime": "soon", "statuscode": "OK"},
         {"component": "x" * 300, "recordedtime": "soon", "statuscode": "OK"}),
        ({"statuscode": "0200"}, {"statuscode": "0200"}),
        ({"statuscode": "x" * (MOST_BYTES + 1)},
         {"statuscode": {"bytes": MOST_BYTES + 1, "reason": "expected at most 32768 bytes"}}),
    ],
)  # fmt: skip
def test_what_cannot_be_indexed_is_kept_as_text(attributes: dict[str, str], kept: dict[str, Any]) -> None:
    """Under its attribute's name; of what is too large, the size."""
    assert {name: loads(value) for name, value in added(binary(attributes)).items()} == {"metadata_unindexed": kept}


def test_names_and_values_are_bounded() -> None:
    """A sender can't fill the index with fields: what is beyond the bound is kept as text."""
    given_names = {f"a{number}": "b" for number in range(MOST_NAMES + 2)}
    found = added(binary({"annotations": json.dumps({**given_names, "a0": "c"})}))
    assert list(found["annotations"]) == list(given_names)[:MOST_NAMES]
    assert loads(found["metadata_unindexed"]) == {"annotations": {f"a{MOST_NAMES}": "b", f"a{MOST_NAMES + 1}": "b"}}
    values = ["b"] * (MOST_VALUES + 1)
    found = added(binary({"metadata": json.dumps({"A": values[1:], "B": values})}))
    assert found["metadata"] == {"a": values[1:]}
    assert loads(found["metadata_unindexed"]) == {"metadata": {"b": values}}


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ("*", {"metadata": {"x-tenant": "a", "x-user": "u"}, "annotations": {"team": "risk"}}),
        ("x-tenant, TEAM", {"metadata": {"x-tenant": "a"}, "annotations": {"team": "risk"}}),
        ("x-*", {"metadata": {"x-tenant": "a", "x-user": "u"}}),
        ("annotations.*,metadata.x-user", {"metadata": {"x-user": "u"}, "annotations": {"team": "risk"}}),
        ("none", {}),
    ],
)
def test_names_are_chosen_by_globs(wanted: str, kept: dict[str, Any]) -> None:
    """METADATA_FIELDS; of an object that can't be read, whose names are unknown, only the size is kept."""
    config = Settings.from_env({"METADATA_FIELDS": wanted})
    attributes = {"metadata": '{"X-Tenant":["a"],"X-User":["u"]}', "annotations": '{"team":"risk"}'}
    assert added(binary(attributes, config)) == kept
    (text,) = added(binary({"metadata": "secret"}, config)).values()
    assert ("secret" in text) == (wanted == "*")


@pytest.mark.parametrize("field", ["metadata", "annotations"])
def test_a_body_with_such_fields_loses_nothing(field: str) -> None:
    """An object stays where it is, unless the event has its own; other values become text."""
    body = {**json.loads(BODY), field: {"a": 1}}
    assert added(binary({}, body=dumps(body))) == {field: {"a": 1}}
    found = added(binary({field: '{"a":"b"}'}, body=dumps(body)))
    assert found == {field: {"a": "b"}, "metadata_unindexed": dumps({"body": {field: {"a": 1}}}).decode()}
    body |= {field: "text", "ce-statuscode": 500}
    found = added(binary({field: "[1]"}, body=dumps(body)))
    assert set(found) == {"metadata_unindexed"}
    assert loads(found["metadata_unindexed"]) == {field: "[1]", "body": {"ce-statuscode": 500, field: "text"}}


def test_other_parts_have_none() -> None:
    """KServe sends requests and responses only."""
    event = binary(ATTRIBUTES, type="org.kubeflow.serving.feedback", body=b'{"truth": 1}')
    assert event.extensions is None
    assert content_of(event) == content_of(binary({}, type="org.kubeflow.serving.feedback", body=b'{"truth": 1}'))


@pytest.mark.parametrize(
    ("status", "failed"), [("200", False), ("399", False), ("400", True), ("503", True), ("700", True), ("4xx", False)]
)
def test_failures(status: str, failed: bool) -> None:
    assert is_failure(added(binary({"statuscode": status}))) is failed
    assert is_failure({"ce-statuscode": "500"}) is is_failure({"ce-statuscode": True}) is is_failure({}) is False


def test_redaction_applies_to_names_and_within_values() -> None:
    """As to headers: without regard to case, - equal to _. What can't be read can't be redacted."""
    metadata = {
        "X-User-Id": ["u", "v"],
        "X-Email": ["e"],
        "X-Claims": ['{"x_email": "e", "role": "r"}'],
        "B": [{"n": 1}],
    }
    event = binary({**ATTRIBUTES, "metadata": json.dumps(metadata), "annotations": "x_email=e"})
    found = added(Redactor("drop:x_email,hash:X-USER-ID,hash:component,drop:n", KEY).redact(event))
    assert found["metadata"] == {"x-user-id": [HASH("u"), HASH("v")], "x-claims": '{"role": "r"}'}
    assert loads(found["metadata_unindexed"]) == {
        "metadata": {"b": [{}]},
        "annotations": {"bytes": 11, "reason": "it can't be parsed, and so not redacted"},
    }
    assert (found["ce-component"], found["ce-statuscode"]) == (HASH("predictor"), 200)
    without = Redactor("drop:x_email").redact(binary({"metadata": '{"X-Email":["e"]}'}))
    assert without.extensions is None


def test_redaction_of_headers_in_dead_letters() -> None:
    """A record that isn't an event is stored with its headers: the names in their JSON are redacted too."""
    redactor = Redactor("drop:x-email,hash:x_user", KEY)
    headers = (("ce_metadata", b'{"X-Email":["e"],"X-User":["u"],"A":["b"]}'), ("ce_annotations", b"x-email: e"))
    assert dict(redactor.headers(headers, "n", "d")) == {
        "ce_metadata": dumps({"X-User": [HASH("u")], "A": ["b"]}),
        "ce_annotations": dumps({"bytes": 10, "reason": "it can't be parsed, and so not redacted"}),
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(attributes=st.dictionaries(st.sampled_from(sorted(NAMES)), json_values, max_size=5))
@example({"metadata": "[" * 20_000})
@example({"metadata": {"a": "\ud800", "\udfff": [None]}})
@example({"statuscode": 10**400, "component": float("nan")})
def test_any_value_is_taken(attributes: dict[str, Any]) -> None:
    """Never an error; what is read again and again, from the text of the same JSON, is the same and can be degraded."""
    found = read_extensions(attributes)
    assert read_extensions(attributes) == found
    content = content_of(structured(attributes))
    assert not {"metadata", "annotations"} & {name for name in content if not isinstance(content[name], dict)}
    for kind in ("metadata", "annotations"):
        for value in content.get(kind, {}).values():
            assert all(isinstance(text, str) for text in (value if isinstance(value, list) else [value]))
    assert loads(dumps(content)).keys() == content.keys()
    assert isinstance(content.get("metadata_unindexed", ""), str)
    assert degrade({"request": content}, ["mapper_parsing_exception: [request.metadata.a] of type"]) is not None


@pytest.mark.engine
def test_a_large_header_is_stored(sender: Sender, index: Index, deployment: str) -> None:
    """Up to the size that is kept: KServe's agent sends once, so what the server doesn't take is lost."""
    value = "x" * (MOST_BYTES - len('{"A":[""]}'))
    found: dict[str, str] = {}
    for part in ("request", "response"):
        found = event(part, "r1", deployment, Ce_Metadata=json.dumps({"A": [value]}, separators=(",", ":")))
        assert sender.send(found, ndarray([[0.5, 0.5]])) == (200, b"")
    ((_, document),) = index.documents(index_of(deployment)).items()
    assert document["request"]["metadata"] == document["response"]["metadata"] == {"a": value}
    too_large = {**found, "Ce-Metadata": "x" * MOST_HEADER_BYTES}
    assert sender.send(too_large, ndarray([[0.5, 0.5]]))[0] == 431


@pytest.mark.engine
def test_no_value_stops_an_event(sender: Sender, index: Index, deployment: str) -> None:
    """Types that differ from event to event, names that exclude each other: each event is in the engine, with all."""
    texts = ['{"a":"b"}', '{"a":{"b":1}}', '{"a.b":"c"}', '{"a.b.c":["d"],"a":"e"}', '{"":1}', "[]", "no JSON"]
    for number, text in enumerate(texts):
        headers = event("request", f"r{number}", deployment, Ce_Metadata=text, Ce_Annotations=text, Ce_Statuscode=text)
        assert sender.send(headers, ndarray([[0.5, 0.5]])) == (200, b""), text
    documents = {id: source for (_, id), source in index.documents(index_of(deployment)).items()}
    assert documents.keys() == {f"r{number}" for number in range(len(texts))}
    for number, text in enumerate(texts):
        request = expand(documents[f"r{number}"]["request"])
        kept = {**request.get("metadata", {}), **_values(request.get("metadata_unindexed", "{}"))}
        value = loads(text) if text.startswith("{") else {"": text}
        assert _plain(kept) == _plain(value), text


def _values(text: str) -> dict[str, Any]:
    """The part of ``metadata_unindexed`` that is of the attribute ``metadata``."""
    value = loads(text).get("metadata", {})
    return value if isinstance(value, dict) else {"": value}


def _plain(value: Any) -> Any:
    """A value with each list of one entry as that entry, and each number as text."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list) and len(value) == 1:
        return _plain(value[0])
    return str(value) if isinstance(value, int) else value
