"""One rule for what is stored: the engines, orjson and Python can read it back, whatever way it came."""

from __future__ import annotations

import gzip
import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any, NoReturn

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from request_logger.common.json import (
    MAX_DEPTH,
    MAX_KEY_CHARACTERS,
    dumps,
    has_big_integer,
    literal,
    loads,
    parse_leniently,
    plain,
)
from request_logger.documents.document import Document
from request_logger.documents.envelope import parse_batch, parse_structured
from request_logger.documents.event import (
    BadEventError,
    Body,
    from_headers,
    from_structured,
)
from request_logger.documents.parts import parts_of
from request_logger.kafka.binding import event_of
from request_logger.kafka.record import Record
from request_logger.payloads import UndecodableError, decode_body, decode_protobuf
from request_logger.payloads.protobuf_messages import message_class
from request_logger.server.feedback_route import feedback_event
from request_logger.settings import Settings

SETTINGS = Settings(max_payload_bytes=50_000_000)
ENVELOPE = {"type": "io.seldon.serving.inference.request", "id": "r1", "datacontenttype": "application/json"}
Contents = Callable[[bytes], list[Document]]


def binary(raw: bytes) -> list[Document]:
    headers = {"ce-type": ENVELOPE["type"], "ce-id": "r1"}
    body = Body(raw, "application/json", len(raw))
    return [part.content for part in parts_of(from_headers(headers, body, SETTINGS))]


def structured(raw: bytes) -> list[Document]:
    value = parse_structured(json.dumps(ENVELOPE).encode()[:-1] + b',"data":' + raw + b"}")
    return [part.content for part in parts_of(from_structured(value, SETTINGS))]


def batched(raw: bytes) -> list[Document]:
    (value,) = parse_batch(b"[" + json.dumps(ENVELOPE).encode()[:-1] + b',"data":' + raw + b"}]")
    return [part.content for part in parts_of(from_structured(value, SETTINGS))]


def kafka(raw: bytes) -> list[Document]:
    headers = (("content-type", b"application/json"), ("type", ENVELOPE["type"].encode()), ("requestid", b"r1"))
    record = Record("t", 0, 1, 1767323045000, None, headers, raw)
    return [part.content for part in parts_of(event_of(record, SETTINGS, lambda event: event))]


def kafka_structured(raw: bytes) -> list[Document]:
    value = json.dumps(ENVELOPE).encode()[:-1] + b',"data":' + raw + b"}"
    headers = (("content-type", b"application/cloudevents+json"),)
    record = Record("t", 0, 1, 1767323045000, None, headers, value)
    return [part.content for part in parts_of(event_of(record, SETTINGS, lambda event: event))]


def feedback(raw: bytes) -> list[Document]:
    headers = {"ce-type": "io.seldon.serving.feedback", "ce-id": "r1"}
    body = Body(b'{"reward":' + raw + b',"truth":' + raw + b"}", "application/json", len(raw))
    return [part.content for part in parts_of(from_headers(headers, body, SETTINGS))]


def direct_feedback(raw: bytes) -> list[Document]:
    # With an empty list of metrics, a null for reward and truth still makes a feedback.
    body = b'{"request_id":"r1","deployment":"d","metrics":[],"reward":' + raw + b',"truth":' + raw + b"}"
    return [part.content for part in parts_of(feedback_event(body, SETTINGS))]


WAYS: dict[str, Contents] = {
    "binary": binary,
    "structured": structured,
    "batched": batched,
    "kafka": kafka,
    "kafka structured": kafka_structured,
    "feedback": feedback,
    "direct feedback": direct_feedback,
}


def check(value: Any) -> None:
    """What comes back is what went in, to every parser that has to read it."""
    raw = dumps(value)
    again = loads(raw)
    # orjson makes floats of integers beyond 64 bits; that it can read them is what counts.
    orjson.loads(raw)
    assert again == json.loads(raw)
    assert loads(dumps(again)) == again
    walk(again, 0)


def walk(value: Any, depth: int) -> None:
    assert depth <= MAX_DEPTH + 10
    if isinstance(value, dict):
        for key, entry in value.items():
            assert len(key) <= MAX_KEY_CHARACTERS
            walk(entry, depth + 1)
    elif isinstance(value, list):
        for entry in value:
            walk(entry, depth + 1)
    elif isinstance(value, (int, float)):
        assert math.isfinite(value)


NUMBERS = [
    "9" * 309, "1" + "0" * 309, "-" + "9" * 309, "9" * 1000, "9" * 1001, "-" + "8" * 4300, "7" * 4301, "1" * 100_000,
    "1e309", "-1e400", "1E+99999", "1." + "5" * 2000, "0." + "0" * 2000 + "1", "2" * 400 + ".5", "NaN", "-Infinity",
]  # fmt: skip
TEMPLATES = ['{"data":{"ndarray":[[1,%s]]}}', '{"jsonData":{"a":%s}}', '{"instances":[%s]}', '{"other":%s}', "%s"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: f"{number[:6]}({len(number)})")
def test_numbers_that_nothing_gives_back(way: str, template: str, number: str) -> None:
    """They are stored as text, null in the rows, or with all of the body."""
    for content in WAYS[way]((template % number).encode()):
        check(content)


@pytest.mark.parametrize("way", ["binary", "structured", "batched", "kafka", "kafka structured"])
@pytest.mark.parametrize(
    ("number", "stored", "row"),
    [
        ("9" * 309, "9" * 309, None),
        ("-" + "9" * 5000, "-" + "9" * 5000, None),
        ("1e400", "Infinity", None),
        ("123456789012345678901", 123456789012345678901, 123456789012345678901.0),
        ("1" + "7" * 307, int("1" + "7" * 307), float("1" + "7" * 307)),
    ],
    ids=lambda value: str(value)[:6],
)
def test_a_number_has_one_form_in_every_mode(way: str, number: str, stored: Any, row: float | None) -> None:
    """Exact where a double has it in its range, its text where not."""
    (content,) = WAYS[way](b'{"data":{"ndarray":[[1,%s]]}}' % number.encode())
    assert content["payload"] == {"data": {"ndarray": [[1, stored]]}}
    assert content["instance"] == [1.0, row]


LONG = "k" * (MAX_KEY_CHARACTERS + 1)


@pytest.mark.parametrize(
    "body",
    [
        {"jsonData": {LONG: 1}},
        {LONG: 1, "instances": [1]},
        {"jsonData": {'"' + LONG: 1}},
        {"jsonData": {"\n" * (MAX_KEY_CHARACTERS + 1): 1}},
        {"jsonData": [[{"a": {LONG: 1}}]]},
        {"data": {"ndarray": [[1]], "names": [LONG]}},
        {"inputs": [{"name": LONG, "datatype": "FP32", "shape": [1], "data": [1]}, {"name": "b", "datatype": "FP32",
         "shape": [1], "data": [1]}]},
        {"inputs": {LONG: [1], "b": [2]}},
        {"dataType": "tabular", "instance": [[1]], "elements": [{LONG: 1}]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["binary", "structured", "batched", "kafka"])
def test_names_that_are_too_long(body: Any, way: str) -> None:
    """The engine refuses the whole request for one of them: the body is set aside."""
    (content,) = WAYS[way](json.dumps(body).encode())
    assert content["undecodable"] == "body has a name of more than 50000 characters"
    check(content)


def test_names_as_long_as_engines_take() -> None:
    """The limit itself, text that is no name, and a tensor of many numbers are fine."""
    key = LONG[:-1]
    assert decode_body(json.dumps({"jsonData": {key: LONG}}).encode()).items[0].instance == {key: LONG}
    assert decode_body(json.dumps({"jsonData": {"é" * 40_000: 1}}).encode()).items
    assert decode_body(json.dumps({"strData": LONG + '"\\'}).encode()).items
    assert decode_body(json.dumps({"data": {"ndarray": [[0.5] * 30_000], "names": []}, "meta": {}}).encode()).items


def test_long_names_of_protobuf() -> None:
    """The keys of a Struct are names like any other."""
    message = message_class("SeldonMessage")()
    message.jsonData.struct_value.fields[LONG].number_value = 1
    message.jsonData.struct_value.fields["n"].number_value = math.inf
    with pytest.raises(UndecodableError, match="a name of more than"):
        decode_body(message.SerializeToString(), "application/protobuf")
    assert decode_protobuf(message.SerializeToString())


def test_a_long_model_id() -> None:
    """It names a node of the document: two that differ at their end stay two."""
    found = []
    for ending in "ab":
        value = {**ENVELOPE, "modelid": "m" * 60_000 + ending, "data": {"strData": "x"}}
        found.append(from_structured(value, SETTINGS))
    first, second = (event.node for event in found)
    assert first != second
    assert len(first) < MAX_KEY_CHARACTERS
    assert found[0].header["Ce-Modelid"] == first


def test_a_huge_body_that_cannot_be_decoded() -> None:
    """As base64 it would be a longer text than engines take."""
    raw = b'{"a":' + b"x" * 15_000_001
    (content,) = binary(raw)
    assert content["payload_dropped"]["bytes"] == len(raw)
    assert "payload" not in content
    assert content["undecodable"]


@pytest.mark.parametrize("datatype", ["INT64", "UINT8", "FP32", "FP64", "FP16", "BYTES", "BOOL"])
@pytest.mark.parametrize("digits", [309, 400, 4299, 4301])
def test_numbers_in_text_of_a_tensor(datatype: str, digits: int) -> None:
    """Protobuf's JSON form writes 64-bit integers as text."""
    tensor = {"name": "x", "datatype": datatype, "shape": [1], "data": ["9" * digits]}
    for content in binary(json.dumps({"inputs": [tensor]}).encode()):
        check(content)


@pytest.mark.parametrize("way", ["structured", "batched", "kafka structured"])
@pytest.mark.parametrize("depth", [150, 254, 400, 1000])
def test_depth_within_an_envelope(way: str, depth: int) -> None:
    """It is stored as a body of a binary event is; it was answered 500."""
    raw = b'{"jsonData":' + b"[" * depth + b"]" * depth + b"}"
    try:
        contents = WAYS[way](raw)
    except BadEventError:
        assert depth == 1000
    else:
        check(contents)
        assert ("undecodable" in contents[0]) == (depth > MAX_DEPTH)


class Hostile:
    """An object whose every way to text fails."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("no")

    __repr__ = __str__


class HostileDict(dict[Any, Any]):
    """A dict that can't be iterated over."""

    def __iter__(self) -> NoReturn:
        raise RuntimeError("no")

    items = keys = values = __iter__  # type: ignore[assignment]


def circle() -> list[Any]:
    made: list[Any] = []
    made += [made, made]
    return made


def nested(levels: int) -> Any:
    made: Any = 1
    for _ in range(levels):
        made = [made]
    return made


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3), (np.float32(0.5), 0.5), (np.bool_(True), True), (np.array([1.5, np.nan]), [1.5, None]),
        ({10, 9}, [9, 10]), ({1, "a"}, ["a", 1]), ((1, 2), [1, 2]), (Decimal("1.5"), 1.5), (Decimal("NaN"), None),
        (b"\xff", "\ufffd"), (10**400, None), (10**5000, None), (2**70, 2**70), (Hostile(), "<Hostile>"),
        ({Hostile(): 1}, {"<Hostile>": 1}), (HostileDict(a=1), {"a": 1}), ({1: 2, None: 3}, {"1": 2, "null": 3}),
        ({(1, 2): 2**70}, {"[1,2]": 2**70}), ("\ud800", "?"), (math.inf, None), ({"a": (math.nan, 2**70)},
        {"a": [None, 2**70]}), (circle(), ["<list>", "<list>"]), (complex(1), "<complex>"),
    ],
    ids=[str(number) for number in range(23)],
)  # fmt: skip
def test_dumps_takes_anything(value: Any, expected: Any) -> None:
    """A scorer's or decoder's mistake must not end the thread that stores events."""
    assert json.loads(dumps(value)) == expected
    assert json.loads(dumps([value], sort_keys=True)) == [expected]


def test_dumps_of_what_is_too_deep() -> None:
    """Cut, not raised."""
    assert dumps(nested(100_000)).startswith(b"[[[")
    check(nested(210))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=5) | st.decimals()
    | st.fractions() | st.dates() | st.complex_numbers() | st.builds(Hostile) | st.integers(-(10**400), 10**400),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3) | st.integers() | st.floats() | st.none() | st.tuples(st.integers()), inner)
    | st.frozensets(st.integers() | st.text(max_size=2), max_size=3)
    | st.dictionaries(st.text(), inner).map(HostileDict),
    max_leaves=10,
)  # fmt: skip
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(anything)
def test_dumps_never_raises(value: Any) -> None:
    """And what it writes can be read, also where the plain form is read again."""
    check(json.loads(dumps(value)))
    check(plain(value))


numbers = st.sampled_from(NUMBERS) | st.integers(-(10**320), 10**320).map(str) | st.floats().map(json.dumps)
strings = st.text(max_size=4).map(json.dumps)
texts = st.recursive(
    numbers | strings | st.sampled_from(["null", "true"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda listed: f"[{','.join(listed)}]")
        | st.lists(st.tuples(strings, inner), max_size=3).map(lambda pairs: f"{{{','.join(map(':'.join, pairs))}}}")
    ),
    max_leaves=8,
)


@patient
@given(texts, st.sampled_from(sorted(WAYS)), st.sampled_from(TEMPLATES))
def test_any_json_is_stored_in_every_mode(text: str, way: str, template: str) -> None:
    """As values that come back, or set aside."""
    for content in WAYS[way]((template % text).encode()):
        check(content)


@patient
@given(texts)
def test_loads_takes_what_others_stored(text: str) -> None:
    """Whatever numbers it has; and what was parsed is written as it came."""
    check(loads(text))
    value = parse_leniently(text)
    assert dumps(parse_leniently(literal(value))) == dumps(value)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"<html>", b"[" * 100_000, b'{"a":' + b"9" * 5000])
def test_loads_refuses_what_is_no_json(raw: bytes) -> None:
    """With the one exception that its callers know."""
    with pytest.raises(json.JSONDecodeError):
        loads(raw)


@pytest.mark.parametrize(
    "piece",
    [b"9", b'{"a":1},', b'"', b'\\"', b"[", b'"a":', b"9" * 400 + b",", b'"' + b"k" * 60_000 + b'",', b"1e999,"],
)
def test_time_is_linear(piece: bytes) -> None:

    def seconds(size: int) -> float:
        raw = b'{"jsonData":[' + piece * (size // len(piece)) + b"1]}"
        best = math.inf
        for _ in range(3):
            started = time.process_time()
            for body in (raw, raw[:-2], gzip.compress(raw, 1)):
                with suppress(UndecodableError):
                    decode_body(body)
            best = min(best, time.process_time() - started)
        return best

    small, large = seconds(500_000), seconds(2_000_000)
    assert large < 10 * small + 0.05


@pytest.mark.parametrize("size", [8 * 2**10 - 1, 8 * 2**10, 8 * 2**10 + 5])
def test_big_integers_in_large_bodies(size: int) -> None:
    """They are found at every position, also at the end; an integer of 64 bits and a date are not taken for one."""
    for digits, is_big in (("9" * 20, True), ("-" + "9" * 19, True), ("9" * 19, False), ("2026-01-02T03:04:05", False)):
        for position in range(48):
            end = "" if position < 24 else "x" * position
            filler = " " * (size - 2 * position - 2 - len(digits) - len(end))
            raw = ("é" * position + filler + "[," + digits + end).encode()
            assert len(raw) == size
            assert has_big_integer(raw) == is_big, (digits, position)
