"""Large arrays of numbers as text: decoded to the same rows and payloads as arrays that are parsed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench import payloads
from request_logger.common import number_text
from request_logger.common.json import JsonText, all_parsed, dumps, loads
from request_logger.common.number_text import NumberText, cut, loads_keeping
from request_logger.documents.document import join, same_content
from request_logger.documents.event import Body, from_headers
from request_logger.documents.parts import Part, parts_of
from request_logger.payloads import Decoded, UndecodableError, decode_body, v2_binary, v2_datatypes
from request_logger.payloads.predictions import predicted
from request_logger.payloads.protobuf_messages import message_class
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import settler
from request_logger.settings import Settings


@pytest.fixture
def all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of any size stay text."""
    monkeypatch.setattr(number_text, "LEAST_BYTES", 1)
    monkeypatch.setattr(number_text, "LEAST_ROW_BYTES", 1)


def shown(raw: bytes, content_type: str | None = None, *, keeps_text: bool) -> bytes:
    """Return what a body is decoded to, or the error."""
    try:
        decoded = predicted(decode_body(raw, content_type, keeps_text=keeps_text))
    except UndecodableError as error:
        return str(error).encode()
    return canonical(decoded)


def canonical(decoded: Decoded) -> bytes:
    """Return a decoded body as JSON whose numbers are written by orjson."""
    items = [[item.instance, item.elements] for item in decoded.items]
    whole = [decoded.data_type, items, decoded.names, decoded.fields, decoded.has_elements, decoded.payload]
    return orjson.dumps(orjson.loads(dumps(whole)))


def arrays() -> st.SearchStrategy[Any]:
    """Return nested lists of numbers, most of them regular, sometimes with other values."""
    numbers = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | st.just(0)
    odd = st.none() | st.booleans() | st.just("x") | st.integers(2**62, 2**70) | st.just([]) | st.just(-0.0)

    def regular(shape: tuple[int, ...], leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        if not shape:
            return leaves
        return st.lists(regular(shape[1:], leaves), min_size=shape[0], max_size=shape[0])

    shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
    leaves = st.sampled_from([numbers, st.integers(-5, 300), st.floats(0, 1), numbers | odd])
    return st.tuples(shapes, leaves).flatmap(lambda drawn: regular(*drawn))


def bodies() -> st.SearchStrategy[bytes]:
    """Return bodies of the protocols with an array, written in different ways."""
    datatypes = st.sampled_from(["FP32", "FP64", "FP16", "BF16", "INT64", "UINT8", "BOOL", "BYTES", "?"])
    shapes = st.none() | st.lists(st.integers(-1, 4), max_size=4)

    def body(array: Any, datatype: str, shape: Any, names: Any, kind: int) -> Any:
        sizes = {} if shape is None else {"shape": shape}
        named = {} if names is None else {"names": names}
        tensor = {"name": "x", "datatype": datatype, **sizes, "data": array}
        return [
            {"instances": array, "signature_name": "x"},
            {"predictions": array},
            {"inputs": array},
            {"outputs": array, "data": {"names": ["a"]}},
            {"data": {**named, "ndarray": array}, "meta": {"tags": {}}},
            {"data": {**named, "tensor": {**sizes, "values": array}}},
            {"inputs": [tensor], "id": "1"},
            {"model_name": "m", "outputs": [tensor]},
            {"inputs": [tensor, tensor]},
            {"inputs": [tensor], "parameters": {"content_type": "pd"}},
            {"jsonData": {"x": array}},
            {"x": array},
            {"instances": [{"x": array}]},
            {"instances": {"x": array}},
            {"dataType": "number", "instance": array},
            {"dataframe_split": {"columns": ["a"], "data": array}},
            array,
            {"outputs": [{**tensor, "name": "label"}, {**tensor, "name": "scores"}]},
        ][kind]

    names = st.none() | st.lists(st.sampled_from(["a", "b", "0", "1"]), max_size=3)
    values = st.builds(body, arrays(), datatypes, shapes, names, st.integers(0, 17))
    written = st.sampled_from([_compact, lambda value: json.dumps(value).encode(), _indented, _spelled])
    return st.builds(lambda value, write: write(value), values, written)


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _indented(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def _spelled(value: Any) -> bytes:
    """Return JSON whose numbers are written differently from orjson's."""
    return json.dumps(value).replace("0.5", "0.50").replace(".0,", "e0,").replace("1", "1.000").encode()


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=bodies())
@example(raw=b'{"data":{"tensor":{"shape":[0],"values":[[1,2],[3,4]]}}}')
def test_text_is_decoded_as_values(all_sizes: None, raw: bytes) -> None:
    """Whatever the protocol and the numbers: the same rows, fields and payload, or the same error."""
    assert shown(raw, keeps_text=True) == shown(raw, keeps_text=False)


PIECES = (*'[]{}",.eE+-0: \t\\', "null", "1e999", "NaN", '"a":1,')


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=bodies(), place=st.integers(0), piece=st.sampled_from(PIECES))
def test_broken_bodies(all_sizes: None, raw: bytes, place: int, piece: str) -> None:
    """A body with a character more is refused, or decoded, in the same way."""
    at = place % (len(raw) + 1)
    broken = raw[:at] + piece.encode() + raw[at:]
    assert shown(broken, keeps_text=True) == shown(broken, keeps_text=False)


def large_bodies() -> Iterator[tuple[str, bytes, str | None]]:
    """Yield bodies whose rows stay text."""
    for shape in ((1, 32, 48, 3), (1, 5000), (3, 2500)):
        for name, raw, content_type in payloads.bodies(payloads.array(shape)):
            if "tftensor" not in name and "names" not in name:
                yield f"{name} {shape}", raw, content_type


@pytest.mark.parametrize(("name", "raw", "content_type"), list(large_bodies()), ids=lambda value: str(value)[:40])
def test_large_rows_stay_text(name: str, raw: bytes, content_type: str | None) -> None:
    """The instances and the payload of large bodies of numbers are text, and are decoded as values are."""
    decoded = decode_body(raw, content_type, keeps_text=True)
    assert {type(item.instance) for item in decoded.items} == {JsonText}, name
    assert b"JsonText" in repr(decoded.payload).encode()
    assert canonical(decoded) == canonical(decode_body(raw, content_type))


RAW = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BF16": "<u2", "UINT8": "u1", "INT64": "<i8", "UINT64": "<u8"}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), datatype=st.sampled_from([*RAW, "BOOL", "?"]), is_finite=st.booleans(), form=st.integers(0, 4))
def test_raw_values_are_decoded_as_values(
    monkeypatch: pytest.MonkeyPatch, all_sizes: None, data: st.DataObject, datatype: str, is_finite: bool, form: int
) -> None:
    """Bytes of a tensor, in V2's binary form and in protobuf: the same as their values, also if they don't fit."""
    monkeypatch.setattr(v2_datatypes, "_LEAST_AS_TEXT", 1)
    monkeypatch.setattr(v2_binary, "_LEAST_LARGE_BYTES", 1)
    raw = data.draw(st.binary(min_size=16, max_size=64).map(lambda found: found[: len(found) // 16 * 16]))
    if is_finite and datatype in RAW and datatype != "BF16":
        raw = (np.frombuffer(raw, "u1") % 100).astype(RAW[datatype]).tobytes()
    count = len(raw) // np.dtype(RAW.get(datatype, "u1")).itemsize
    shape = data.draw(st.sampled_from([[count], [1, count], [count, 1], [2, count // 2], [count + 1], []]))
    tensor = {"name": "x", "datatype": datatype, "shape": shape}
    sized = {**tensor, "parameters": {"binary_data_size": len(raw)}}
    body: tuple[bytes, str | None]
    if form < 2:
        body = json.dumps({"inputs": [sized, sized][: form + 1]}).encode() + raw * (form + 1), None
    elif form == 2:
        body = json.dumps({"inputs": [{**tensor, "data": [1]}, sized], "x": 1}).encode() + raw + b"]", None
    elif form == 3:
        message = {"inputs": [tensor, tensor], "raw_input_contents": [raw, raw]}
        body = message_class("ModelInferRequest")(**message).SerializeToString(), payloads.PROTOBUF
    else:
        values = np.frombuffer(raw, "<i4").tolist()
        kind = "fp32_contents" if datatype == "FP32" else "int_contents"
        message = {
            "inputs": [{**tensor, "datatype": "FP32" if datatype == "FP32" else "INT8", "contents": {kind: values}}]
        }
        body = message_class("ModelInferRequest")(**message).SerializeToString(), payloads.PROTOBUF
    assert shown(*body, keeps_text=True) == shown(*body, keeps_text=False)


@pytest.mark.parametrize(
    "array",
    [
        "[1,,2]", "[01]", "[1.]", "[--1]", "[1e]", "[.5]", "[+1]", "[1e400]", "[1 2]", "[[1],[2,3]]", "[[1],2]", "[]",
        "[[]]", "[1]]", "[[1]", "[1,]", "[,1]", "[1e5e5]", "[1.5.2]", "[12345678901234567890123]", "[-0]", "[1-2]",
        "[[[1],[2]],[[3]]]", "[NaN]", "[null]", "[true]", "[{}]", "[1][2]", "[" * 300 + "1" + "]" * 300,
    ],
)  # fmt: skip
def test_other_arrays_are_parsed(all_sizes: None, array: str) -> None:
    """What is not a regular array of storable numbers is never text."""
    assert cut(b'{"instances": %b}' % array.encode()) is None


def test_small_bodies_are_parsed() -> None:
    """Below LEAST_BYTES parsing is faster."""
    assert cut(b'{"instances": [[1, 2]]}') is None


def test_the_place_of_an_array_that_no_decoder_expects() -> None:
    """A key that occurs twice has its last value, and a large array elsewhere is parsed as before."""
    array = json.dumps([[0.5] * 3000])
    for raw in (
        f'{{"instances": {array}, "instances": [[1, 2]]}}',
        f'{{"instances": [[1, 2]], "instances": {array}}}',
        f'{{"instances": [[1, 2]], "parameters": {{"x": {array}}}}}',
    ):
        assert canonical(decode_body(raw.encode(), keeps_text=True)) == canonical(decode_body(raw.encode()))


def test_integers_as_floats() -> None:
    """Only integers get a fraction, at every depth and next to numbers of other forms."""
    text = NumberText(b"[[[1,-20],[0.5,1e3]],[[3E-2,40],[5,6.25]]]", (2, 2, 2)).as_floats()
    assert text.text == b"[[[1.0,-20.0],[0.5,1e3]],[[3E-2,40.0],[5.0,6.25]]]"


def request(value: Any, part: str = "request", time: str | None = None) -> Part:
    """Return the part of an event with a body."""
    raw = json.dumps(value).encode()
    headers = {"ce-id": "1", "ce-type": f"io.seldon.serving.inference.{part}", "ce-inferenceservicename": "a"}
    if part == "feedback":
        headers["ce-type"] = "io.seldon.serving.feedback"
    headers |= {"ce-time": time} if time else {}
    (made,) = parts_of(from_headers(headers, Body(raw, None, len(raw)), Settings()))
    return made


WIDE = {"instances": [[0.25] * 3000]}


def test_a_repeated_part_changes_nothing() -> None:
    """A part with text equals the stored one, which was parsed, and another one with the same numbers."""
    part = request(WIDE, time="2026-01-01T00:00:00Z")
    assert isinstance(part.content["instance"], JsonText)
    stored = orjson.loads(dumps(join(None, part)))
    assert join(stored, part) is stored
    assert same_content(part.content, request(WIDE, time="2026-01-01T00:00:00Z").content)
    other = request({"instances": [[0.25] * 2999 + [0.5]]}, time="2026-01-01T00:00:00Z")
    assert not same_content(part.content, other.content)
    assert join(stored, other) is not stored


def test_a_response_of_text_is_scored() -> None:
    """A scorer gets the numbers: a response of 3,000 classes, and the truth as an index."""
    response = {"predictions": [[0.9 if number == 7 else 0.0001 for number in range(3000)]]}
    document = join(None, request(response, "response"))
    assert isinstance(document["response"]["instance"], JsonText)
    document = settler(Chooser("multiclass", None))(join(document, request({"truth": 7}, "feedback")))
    assert document["metrics"]["correct"] == 1
    assert document["metrics"]["predicted_label"] == "CLASS_7"


def test_a_schema_gets_values() -> None:
    """Values that are named by a schema are parsed, since they are read one by one."""
    raw = json.dumps(WIDE).encode()
    assert type(decode_body(raw).items[0].instance) is list


documents = st.dictionaries(
    st.sampled_from(["request", "response", "feedback", "nodes", "metrics", "RequestId"]),
    st.recursive(
        arrays() | st.text(max_size=3) | st.none(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=4,
    ),
    max_size=4,
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=documents)
def test_any_document_with_text(all_sizes: None, document: dict[str, Any]) -> None:
    """A document that keeps text has the same values, and text in the fields that may have it alone."""
    raw = dumps(document)
    expected = loads(raw)
    found = loads_keeping(raw, {"request", "response"})
    assert dumps(all_parsed(found)) == dumps(expected)
    if isinstance(found, dict):
        others = {name: value for name, value in found.items() if name not in {"request", "response"}}
        assert "JsonText" not in repr(others)


def test_a_known_document_keeps_its_text() -> None:
    """Parts are joined to a document with text as to one with values, also repeated ones; feedback has values."""
    response = {"predictions": [[0.9 if number == 7 else 0.0001 for number in range(3000)]]}
    parts = [request(WIDE, time="2026-01-01T00:00:00Z"), request(response, "response", "2026-01-01T00:00:01Z")]
    parts.append(request({"truth": {"data": {"ndarray": [7] * 5000}}, "reward": 1}, "feedback"))
    settle = settler(Chooser("multiclass", None))
    document: Any = None
    plain: Any = None
    for part in parts:
        document, plain = settle(join(document, part)), settle(join(plain, part))
        plain = loads(dumps(plain))
        document = loads_keeping(dumps(document), {"request", "response"})
        for value in (document, plain):
            value.get("metrics", {}).pop("scored_at", None)
        assert document == plain
        assert orjson.loads(dumps(document)) == orjson.loads(dumps(plain))
        assert isinstance(document["request"]["instance"], JsonText)
        assert isinstance(document["request"]["payload"]["instances"], JsonText)
    assert type(document["feedback"]["truth"]["data"]["ndarray"]) is list
    assert all(join(document, part) is document for part in parts[:2])


def test_json_text_equals_what_it_is_parsed_to() -> None:
    """Equality is that of the values, and all_parsed finds text at any depth."""
    assert JsonText(b"[1.50]") == [1.5] == JsonText(b"[1.5]")
    assert JsonText(b"[1]") != [2]
    value = {"a": [{"b": JsonText(b"[1]")}, JsonText(b"2")], "c": 1}
    assert all_parsed(value) == {"a": [{"b": [1]}, 2], "c": 1}
    assert type(all_parsed(value)["a"][0]["b"]) is list
    assert dumps(value) == b'{"a":[{"b":[1]},2],"c":1}'
    assert dumps({"a": JsonText(b"[1]"), "lone surrogate": "\ud800"}) == b'{"a": [1], "lone surrogate": "?"}'


def test_reshaping() -> None:
    """A flat array is nested to any shape."""
    chance = random.Random(1)
    for _ in range(50):
        shape = tuple(chance.randrange(1, 5) for _ in range(chance.randrange(1, 5)))
        count = 1
        for size in shape:
            count *= size
        flat = list(range(count))
        nested = NumberText(orjson.dumps(flat), (count,)).reshaped(shape).parsed()
        expected: Any = flat
        for size in reversed(shape[1:]):
            expected = [expected[start : start + size] for start in range(0, len(expected), size)]
        assert nested == expected


@pytest.mark.parametrize("shape", [(30_000,), (1, 30_000), (300, 100)])
@pytest.mark.parametrize("kind", ["f2", "f4"])
def test_numbers_of_several_pieces_are_rounded_as_by_numpy(kind: str, shape: tuple[int, ...]) -> None:
    """Their text is parsed in pieces of 64 kB."""
    chance = random.Random(1)
    values = [chance.choice([chance.uniform(-6e4, 6e4), float(chance.randrange(6_000)), 0.0]) for _ in range(30_000)]
    array = np.array(values).reshape(shape)
    found = NumberText(orjson.dumps(array.tolist()), shape).rounded(kind, shape)
    assert found is not None
    assert found.parsed() == array.astype(kind).astype(float).tolist()
