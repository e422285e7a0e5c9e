"""Seldon messages, truths written by hand and bodies that are parsed already."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.payloads import Decoded, UndecodableError, decode_body, decode_message, seldon


def decode(body: dict[str, Any]) -> Decoded:
    return decode_body(json.dumps(body).encode())


def exactly(value: Any) -> str:
    """Make 1, 1.0 and true differ."""
    return json.dumps(value)


@pytest.mark.parametrize(
    ("array", "kind", "rows"),
    [
        (5, "number", [5.0]),
        ("a", "text", ["a"]),
        (True, "number", [True]),
        ([1, 2.5], "number", [1.0, 2.5]),
        (["a"], "text", ["a"]),
        ([1, "a"], "text", [1.0, "a"]),
        ([None], "number", [None]),
        ([[1], [2]], "number", [[1.0], [2.0]]),
        ([["a"], ["b"]], "text", [["a"], ["b"]]),
        ([[True, 1, None, "x"]], "tabular", [[True, 1.0, None, "x"]]),
        ([[], []], "tabular", [[], []]),
        ([[1, 2], [3]], "text", [[1.0, 2.0], [3.0]]),
        ([1, [2]], "text", [1.0, [2.0]]),
        ([[[1]], [[2]]], "tabular", [[[1.0]], [[2.0]]]),
        ([[[[1, 2]]]], "image", [[[[1.0, 2.0]]]]),
        ([{"a": 1}], "text", [{"a": 1.0}]),
        ([[{"a": [1, True]}, 2]], "tabular", [[{"a": [1.0, True]}, 2.0]]),
        ([["NaN", 1]], "tabular", [[None, 1.0]]),
        ([["NaN", "a"]], "tabular", [["NaN", "a"]]),
    ],
)
def test_ndarray(array: Any, kind: str, rows: list[Any]) -> None:
    """Numbers become floats, the rest stays; the kind follows from shape and types."""
    decoded = decode({"data": {"ndarray": array}})
    assert decoded.data_type == kind
    assert exactly([item.instance for item in decoded.items]) == exactly(rows)
    assert all(item.elements is None for item in decoded.items)
    assert decoded.has_elements
    assert decoded.names is None


@pytest.mark.parametrize(
    ("array", "names", "kept", "elements"),
    [
        ([[1, 2]], ["a", "b"], ["a", "b"], {"a": 1.0, "b": 2.0}),
        ([[1, 2]], ["a"], ["a"], {"a": 1.0}),
        ([[1]], ["a", "b"], ["a", "b"], {"a": 1.0}),
        ([[1, 2]], ["a", "a"], ["a", "a"], {"a": 2.0}),
        ([[1, 2]], [1, None], ["1", "None"], {"1": 1.0, "None": 2.0}),
        ([[1, 2]], [], [], None),
        ([1], [], [], None),
        ([[1, 2]], None, None, None),
        ([[1, 2]], "a", ["a"], {"a": 1.0}),
        ([1], ["a"], ["a"], {"a": 1.0}),
        ([1], ["a", "b"], ["a", "b"], None),
        (1, ["a"], ["a"], {"a": 1.0}),
        ([[1, 2], [3]], ["a"], ["a"], {"a": 1.0}),
        ([[1], 2], ["a"], ["a"], {"a": 1.0}),
        ([[[1, 2], [3, 4]]], ["f"], ["f"], {"f": [1.0, 2.0]}),
    ],
)
def test_names(array: Any, names: Any, kept: list[str] | None, elements: dict[str, Any] | None) -> None:
    """Names are given column by column; what has no partner is left out."""
    decoded = decode({"data": {"ndarray": array, "names": names}})
    assert decoded.names == kept
    assert exactly(decoded.items[0].elements) == exactly(elements)


@pytest.mark.parametrize(
    ("tensor", "kind", "rows"),
    [
        ({"shape": [2, 2], "values": [1, 2, 3, 4]}, "tabular", [[1.0, 2.0], [3.0, 4.0]]),
        ({"shape": [-1, 2], "values": [1, 2, 3, 4]}, "tabular", [[1.0, 2.0], [3.0, 4.0]]),
        ({"shape": [3], "values": [1, 2, 3]}, "number", [1.0, 2.0, 3.0]),
        ({"values": [1, 2, 3]}, "number", [1.0, 2.0, 3.0]),
        ({"shape": [], "values": [1]}, "number", [1.0]),
        ({"shape": [2, 1], "values": [0.5, 1]}, "number", [[0.5], [1.0]]),
        ({"shape": [1, 3], "values": ["NaN", "2.5", None]}, "tabular", [[None, 2.5, None]]),
        ({"shape": [1, 1, 1, 2], "values": [1, 2]}, "image", [[[[1.0, 2.0]]]]),
    ],
)
def test_tensor(tensor: dict[str, Any], kind: str, rows: list[Any]) -> None:
    """The flat values are nested by the shape."""
    decoded = decode({"data": {"tensor": tensor}})
    assert decoded.data_type == kind
    assert exactly([item.instance for item in decoded.items]) == exactly(rows)


@pytest.mark.parametrize(
    ("body", "kind", "instance"),
    [
        ({"strData": "hi"}, "text", "hi"),
        ({"strData": ""}, "text", ""),
        ({"jsonData": {"a": [1, {"b": 2}], "c": "d"}}, "json", {"a": [1.0, {"b": 2.0}], "c": "d"}),
        ({"jsonData": [1, 2]}, "json", [1.0, 2.0]),
        ({"jsonData": 0}, "json", 0.0),
        ({"binData": "AAE="}, "image", "AAE="),
        ({"customData": {"@type": "t", "value": "AA=="}}, "json", {"@type": "t", "value": "AA=="}),
        ({"jsonData": 1, "strData": "first"}, "text", "first"),
        ({"data": None, "strData": "hi"}, "text", "hi"),
    ],
)
def test_contents_without_elements(body: dict[str, Any], kind: str, instance: Any) -> None:
    """Text, JSON and bytes are one row, whose document has no `elements`."""
    decoded = decode(body)
    assert (decoded.data_type, exactly(decoded.items[0].instance)) == (kind, exactly(instance))
    assert len(decoded.items) == 1
    assert not decoded.has_elements
    assert decoded.payload == body


def test_failure_is_kept_as_json_with_its_status() -> None:
    """A model's failure has no data, yet the document says what it was."""
    body = {"status": {"code": 500, "info": "boom", "status": "FAILURE"}, "meta": {"puid": "p"}}
    decoded = decode(body)
    assert (decoded.data_type, decoded.items[0].instance, decoded.fields) == ("json", body, body)


def test_meta_and_status_are_fields() -> None:
    """Also where they are empty, as executors and Python models send them."""
    assert decode({"strData": "a", "meta": {}, "status": None}).fields == {"meta": {}, "status": None}
    assert decode({"strData": "a", "meta": {"puid": "p"}, "extra": 1}).fields == {"meta": {"puid": "p"}}


def test_null_is_json_but_no_other_content() -> None:
    """A null beside a content that is there isn't one; alone, jsonData is null."""
    decoded = decode({"jsonData": None, "meta": {"puid": "p"}})
    assert (decoded.data_type, decoded.items[0].instance, decoded.fields) == ("json", None, {"meta": {"puid": "p"}})
    assert decode({"data": None, "strData": "a"}).data_type == "text"


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"instances": [[1]], "data": {"ndarray": [5]}, "strData": "x"}, [[1]]),
        ({"predictions": [2], "jsonData": {"a": 1}}, [2]),
        ({"inputs": [{"name": "x", "datatype": "INT32", "shape": [1], "data": [3]}], "data": {"ndarray": [5]}}, [3]),
    ],
)
def test_a_body_of_two_protocols_is_of_the_other(body: dict[str, Any], rows: list[Any]) -> None:
    """The Seldon message's content stays in the payload."""
    decoded = decode(body)
    assert [item.instance for item in decoded.items] == rows
    assert decoded.fields == {}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"data": [[1]]}, "data: expected an object with one of tensor, ndarray, tftensor"),
        ({"data": {"is_drift": 1}}, "data: expected one of tensor, ndarray, tftensor"),
        ({"data": {"ndarray": []}}, "data.ndarray: no rows"),
        ({"data": {"tensor": {"shape": [1]}}}, "data.tensor: expected an object with shape and values"),
        ({"data": {"tensor": {"shape": [0, 1000000000], "values": []}}}, "data.tensor: no values"),
        ({"data": {"tensor": {"shape": [-2, -1], "values": [1, 2]}}}, "data.tensor: shape [-2, -1] does not fit 2"),
        ({"data": {"tensor": {"shape": ["2"], "values": [1, 2]}}}, "data.tensor: shape must be a list of integers"),
        ({"data": {"tensor": {"shape": [1] * 65, "values": [1]}}}, "data.tensor: more than 64 dimensions"),
        ({"data": {"tensor": {"shape": [1], "values": ["x"]}}}, "data.tensor: values must be numbers"),
        ({"data": {"tensor": {"shape": [1], "values": [[1]]}}}, "data.tensor: values must be numbers"),
        ({"strData": 5}, "strData: expected text"),
        ({"binData": []}, "binData: expected text"),
        ({"meta": {}}, "Seldon message without content: expected one of data, binData"),
        ({"strData": None}, "Seldon message without content"),
    ],
)
def test_refuses_in_one_line(body: dict[str, Any], reason: str) -> None:
    """The reason says what was expected."""
    with pytest.raises(UndecodableError) as caught:
        decode(body)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def tftensor(dtype: Any, shape: list[int] | None, **values: Any) -> dict[str, Any]:
    tensor = {"dtype": dtype, **values}
    if shape is not None:
        tensor["tensor_shape"] = {"dim": [{"size": size} for size in shape]}
    return {"data": {"tftensor": tensor}}


def content(values: list[Any], dtype: Any) -> str:
    return base64.b64encode(np.array(values, dtype).tobytes()).decode()


@pytest.mark.parametrize(
    ("body", "kind", "rows"),
    [
        (tftensor(1, [1, 2], float_val=[1.5, 0.1]), "tabular", [[1.5, float(np.float32(0.1))]]),
        (tftensor("DT_DOUBLE", [2], double_val=[0.1, 2]), "number", [0.1, 2.0]),
        (tftensor("DT_DOUBLE", None, double_val=["NaN", 2]), "number", [None, 2.0]),
        (tftensor("DT_INT32", [2, 1], int_val=[1, 2]), "number", [[1.0], [2.0]]),
        (tftensor(9, [1, 1], int64_val=["9007199254740993"]), "number", [[9007199254740992.0]]),
        (tftensor(10, [1, 2], bool_val=[True, False]), "tabular", [[True, False]]),
        (tftensor(19, [2], half_val=[int(np.float16(x).view(np.uint16)) for x in (1.5, -2)]), "number", [1.5, -2.0]),
        (tftensor("DT_BFLOAT16", [1], half_val=[0x3FC0]), "number", [1.5]),
        (tftensor(7, [2], string_val=["aGk=", "plain text"]), "text", ["hi", "plain text"]),
        (tftensor(1, [1, 2], tensor_content=content([1, 2], "<f4")), "tabular", [[1.0, 2.0]]),
        (tftensor(4, [1, 2], tensor_content=content([1, 255], "u1")), "tabular", [[1.0, 255.0]]),
        (tftensor(10, [1, 2], tensor_content=content([1, 0], "?")), "tabular", [[True, False]]),
        (tftensor(14, [1], tensor_content=content([0x3FC0], "<u2")), "number", [1.5]),
        (tftensor(1, [2, 2], float_val=[3]), "tabular", [[3.0, 3.0], [3.0, 3.0]]),
        (tftensor(1, [], float_val=[3]), "number", [3.0]),
        (tftensor(0, [1], float_val=[3]), "number", [3.0]),
    ],
)
def test_tftensor(body: dict[str, Any], kind: str, rows: list[Any]) -> None:
    """Every type, as values and as raw content."""
    decoded = decode(body)
    assert decoded.data_type == kind
    assert exactly([item.instance for item in decoded.items]) == exactly(rows)


def test_tftensor_in_camel_case_with_names() -> None:
    """Protobuf's own JSON form, where an int64 is text."""
    tensor = {"dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "1"}, {"size": "2"}]}, "floatVal": [1, 2]}
    decoded = decode({"data": {"tftensor": tensor, "names": ["a", "b"]}})
    assert decoded.items[0].elements == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (tftensor(1, [3], float_val=[]), "data.tftensor: no values"),
        (tftensor(1, [1000, 100000], float_val=[1]), "data.tftensor: shape [1000, 100000] does not fit 1 values"),
        (tftensor(99, [1], float_val=[1]), "data.tftensor: unknown dtype 99"),
        (tftensor({}, [1], float_val=[1]), "data.tftensor: unknown dtype {}"),
        (tftensor(1, [1], float_val=["x"]), "data.tftensor: values don't fit the dtype"),
        (tftensor(7, [1], string_val=[5]), "data.tftensor: values don't fit the dtype"),
        (tftensor(1, [1], float_val=5), "data.tftensor: float_val must be a list"),
        (tftensor(1, [1], tensor_content="AAA="), "data.tftensor: values don't fit the dtype"),
        (tftensor(1, [1], tensor_content="*"), "data.tftensor: values don't fit the dtype"),
        (tftensor(19, [1], half_val=[70000]), "data.tftensor: values don't fit the dtype"),
        (
            {"data": {"tftensor": {"dtype": 1, "float_val": [1], "tensor_shape": {"dim": [{}]}}}},
            "data.tftensor: tensor_shape must list dim with size",
        ),
        ({"data": {"tftensor": [1]}}, "data.tftensor: expected an object"),
    ],
)
def test_tftensor_refuses(body: dict[str, Any], reason: str) -> None:
    """A few bytes can't ask for much memory either."""
    with pytest.raises(UndecodableError) as caught:
        decode(body)
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    ("truth", "kind", "rows"),
    [
        (1, "number", [1.0]),
        (0.5, "number", [0.5]),
        (True, "number", [True]),
        ("cat", "text", ["cat"]),
        ([1, 2], "number", [1.0, 2.0]),
        ([[0, 1]], "tabular", [[0.0, 1.0]]),
        (["cat"], "text", ["cat"]),
        ({"data": {"ndarray": [[1]]}}, "number", [[1.0]]),
        ({"data": {"tensor": {"shape": [1, 1], "values": [1]}}}, "number", [[1.0]]),
        ({"strData": "cat"}, "text", ["cat"]),
        ({"predictions": [1]}, "number", [1]),
        ({"outputs": [{"name": "y", "datatype": "INT32", "shape": [1], "data": [1]}]}, "number", [1]),
    ],
)
def test_message(truth: Any, kind: str, rows: list[Any]) -> None:
    """A truth is any message, or a bare value as people write it."""
    decoded = decode_message(truth)
    assert (decoded.data_type, decoded.payload) == (kind, None)
    assert exactly([item.instance for item in decoded.items]) == exactly(rows)


_ENTRIES = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.sampled_from(["1", "NaN", [1], 10**400]))


@given(st.lists(_ENTRIES, max_size=3), st.sampled_from([{}, {"names": ["a"]}, {"tensor": None}]), st.booleans())
def test_a_message_of_numbers_is_decoded_as_any_other(array: list[Any], more: dict[str, Any], has_meta: bool) -> None:
    """What is read directly, a plain list of numbers, has the same rows as by the decoders."""

    def outcome() -> str:
        try:
            return repr(decode_message({"data": {"ndarray": array, **more}, **({"meta": {}} if has_meta else {})}))
        except UndecodableError as error:
            return str(error)

    direct = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seldon, "number_column", lambda message: None)
        assert direct == outcome()


@pytest.mark.parametrize("truth", [None, [], {}, {"label": 1}])
def test_message_refuses(truth: Any) -> None:
    """What has no rows and no known shape."""
    with pytest.raises(UndecodableError):
        decode_message(truth)


def test_message_nested_too_deep_is_refused() -> None:
    """A parsed message has the same limit as bytes."""
    truth: Any = 1
    for _ in range(201):
        truth = [truth]
    with pytest.raises(UndecodableError, match="deeper than 200"):
        decode_message(truth)


def test_parsed_body_is_the_part_itself() -> None:
    """Rows, their elements and any other field are taken over; there is no payload."""
    decoded = decode(
        {
            "dataType": "own-kind",
            "instance": [[1], [2]],
            "elements": [{"a": 1}, {"a": 2}],
            "names": ["a"],
            "anything": {"k": "v"},
            "payload": "kept",
            "ce-time": "is the event's",
        }
    )
    assert [(item.instance, item.elements) for item in decoded.items] == [([1], {"a": 1}), ([2], {"a": 2})]
    assert decoded.fields == {"anything": {"k": "v"}, "payload": "kept"}
    assert (decoded.data_type, decoded.names, decoded.payload) == ("own-kind", ["a"], None)
    assert (decoded.has_elements, decoded.has_payload) == (True, False)


@pytest.mark.parametrize(
    ("body", "instance", "elements"),
    [
        ({"dataType": "text", "instance": "one"}, "one", None),
        ({"dataType": "text", "instance": ["one"], "elements": {"a": "one"}}, "one", {"a": "one"}),
        ({"dataType": "text", "instance": "one", "elements": [{"a": "one"}]}, "one", {"a": "one"}),
        ({"dataType": "json", "instance": [1, 2], "elements": [{"a": 1}, {"a": 2}]}, [1, 2], {"a": 1}),
    ],
)
def test_parsed_body_of_one_row(body: dict[str, Any], instance: Any, elements: Any) -> None:
    """An instance that is no list is one row; elements may be one object for all rows."""
    [item] = decode(body).items
    assert (item.instance, item.elements) == (instance, elements)


@pytest.mark.parametrize("body", [{"dataType": 1, "instance": [1]}, {"dataType": "text", "instance": []}])
def test_parsed_body_refuses(body: dict[str, Any]) -> None:
    """No kind, no rows."""
    with pytest.raises(UndecodableError):
        decode(body)
