"""V2 bodies: every datatype, as JSON and in the binary form, against numpy."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from request_logger.payloads import Decoded, UndecodableError, decode_body, v2_datatypes


def decode(body: dict[str, Any]) -> Decoded:
    return decode_body(json.dumps(body).encode())


def tensor(datatype: Any, shape: Any, data: Any, name: str = "x", **parameters: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data, "parameters": parameters}


def instances(decoded: Decoded) -> list[Any]:
    return [item.instance for item in decoded.items]


NUMPY: dict[str, Any] = {
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BOOL": np.bool_,
}


def extremes(datatype: str) -> list[Any]:
    kind = np.dtype(NUMPY[datatype])
    if kind.kind in "iu":
        return [0, 1, int(np.iinfo(kind).min), int(np.iinfo(kind).max)]
    if kind.kind == "b":
        return [True, False, False, True]
    return [0.1, -2.5, float(np.finfo(kind).max), float(np.finfo(kind).tiny)]


@pytest.mark.parametrize("datatype", NUMPY)
def test_values_are_those_of_numpy(datatype: str) -> None:
    """From JSON, flat and nested, and from raw bytes."""
    array: np.ndarray[Any, Any] = np.array(extremes(datatype), NUMPY[datatype]).reshape(2, 2)
    given = [extremes(datatype)[:2], extremes(datatype)[2:]]
    expected = json.dumps(array.tolist())
    for data in (given, [*given[0], *given[1]]):
        assert json.dumps(instances(decode({"inputs": [tensor(datatype, [2, 2], data)]}))) == expected
    raw = array.tobytes()
    assert json.dumps(instances(decode_body(binary({"inputs": [raw_tensor(datatype, [2, 2], raw)]}, raw)))) == expected


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "BF16"])
def test_integers_are_floats_of_a_float_tensor(datatype: str) -> None:
    """A client may write 1 for 1.0."""
    assert json.dumps(instances(decode({"inputs": [tensor(datatype, [1, 2], [1, True])]}))) == "[[1.0, 1.0]]"


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "BF16"])
def test_not_finite_numbers_are_null(datatype: str) -> None:
    """As literals, as text, as null and as an overflow."""
    raw = b'{"inputs":[{"name":"x","datatype":"%s","shape":[1,5],"data":[NaN,"Infinity",null,"0.5",%s]}]}' % (
        datatype.encode(),
        b"9" * 400,
    )
    assert instances(decode_body(raw)) == [[None, None, None, 0.5, None]]


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (1.0, 1.0),
        (0.1, 0.10009765625),
        (-0.1, -0.10009765625),
        (1.00390625, 1.0),  # a tie goes to the even neighbour
        (1.01171875, 1.015625),
        (3.3895313892515355e38, 3.3895313892515355e38),
        (3.4e38, None),
        (1e39, None),
    ],
)
def test_bf16_is_rounded(value: float, rounded: float | None) -> None:
    """To the nearest of 8 bits, ties to even."""
    assert instances(decode({"inputs": [tensor("BF16", [1], [value])]})) == [rounded]


def test_bf16_from_raw_bytes() -> None:
    """The upper halves of float32."""
    raw = np.array([0x3FC0, 0xC000, 0x7FC0], "<u2").tobytes()
    assert instances(decode_body(binary({"outputs": [raw_tensor("BF16", [3], raw)]}, raw))) == [1.5, -2.0, None]


@pytest.mark.parametrize(
    ("datatype", "data", "values"),
    [
        ("INT32", [1.0, 2], [1, 2]),
        ("INT32", [1.5, None], [1.5, None]),
        ("INT64", ["9007199254740993", True], [9007199254740993, 1]),
        ("BOOL", [0, 1], [False, True]),
        ("BOOL", [None, True], [None, True]),
        ("BYTES", ["a", None], ["a", None]),
    ],
)
def test_careless_values(datatype: str, data: list[Any], values: list[Any]) -> None:
    """Values in another JSON type than the datatype's."""
    assert json.dumps(instances(decode({"inputs": [tensor(datatype, [2], data)]}))) == json.dumps(values)


@pytest.mark.parametrize(
    ("shape", "data", "kind", "rows"),
    [
        ([2], ["good", "bad"], "text", ["good", "bad"]),
        ([2, 1], ["good", "bad"], "text", [["good"], ["bad"]]),
        ([1, 2], ["good", "bad"], "tabular", [["good", "bad"]]),
        ([3], [104, 105, 33], "text", ["hi!"]),
        ([2, 2], [104, 105, 104, 111], "text", ["hi", "ho"]),
        ([1, 2], [255, 254], "text", [base64.b64encode(b"\xff\xfe").decode()]),
        ([], "one", "text", ["one"]),
    ],
)
def test_bytes(shape: list[int], data: Any, kind: str, rows: list[Any]) -> None:
    """Text stays; numbers are the bytes of texts as long as the last dimension."""
    decoded = decode({"inputs": [tensor("BYTES", shape, data)]})
    assert (decoded.data_type, instances(decoded)) == (kind, rows)


@pytest.mark.parametrize(
    ("shape", "data", "rows"),
    [
        ([], [5], [5]),
        ([1], [5], [5]),
        ([-1, 2], [1, 2, 3, 4], [[1, 2], [3, 4]]),
        ([1, 1, 2, 2], [1, 2, 3, 4], [[[[1, 2], [3, 4]]]]),
        ([4], [[1, 2], [3, 4]], [1, 2, 3, 4]),
    ],
)
def test_shapes(shape: list[int], data: Any, rows: list[Any]) -> None:
    """The shape decides, not the nesting of the data."""
    assert instances(decode({"inputs": [tensor("INT32", shape, data)]})) == rows


def test_shape_may_be_missing() -> None:
    """Then the nesting decides."""
    assert instances(decode({"inputs": [{"name": "x", "datatype": "INT32", "data": [[1, 2]]}]})) == [[1, 2]]


def test_single_tensor_has_no_names() -> None:
    """The other fields go to the top."""
    fields = {"model_name": "m", "model_version": "1", "id": "i"}
    decoded = decode({**fields, "outputs": [tensor("FP64", [1, 2], [1, 2])]})
    assert (decoded.names, decoded.items[0].elements, decoded.fields) == (None, None, fields)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"modelName": "m", "modelVersion": "2"}, {"model_name": "m", "model_version": "2"}),
        ({"model_name": "m", "model_version": 2}, {"model_name": "m", "model_version": "2"}),
        ({"model_name": "m", "model_version": ""}, {"model_name": "m"}),
        ({"model_name": "m", "model_version": None}, {"model_name": "m"}),
        ({"model_name": True, "model_version": {"a": 1}}, {}),
        ({"model_name": [1], "model_version": 1.5}, {}),
    ],
)
def test_the_model_that_answered(given: dict[str, Any], kept: dict[str, str]) -> None:
    """In either spelling, as text; what can't be a keyword stays in the payload."""
    assert decode({**given, "outputs": [tensor("INT32", [1], [1])]}).fields == kept


def test_a_request_names_its_model() -> None:
    """A response that repeats its inputs is still a response."""
    model = {"model_name": "m", "model_version": "1"}
    inputs = [tensor("INT32", [1], [1])]
    assert decode({**model, "inputs": inputs, "outputs": [{"name": "y"}]}).fields == {
        **model,
        "outputs": [{"name": "y"}],
    }
    response = decode({**model, "inputs": inputs, "outputs": [tensor("INT32", [1], [2])]})
    assert (instances(response), response.fields) == ([2], {**model, "inputs": inputs})


@pytest.mark.parametrize("where", ["tensor", "body"])
def test_data_frame_of_one_column_has_a_name(where: str) -> None:
    """Content type pd says that tensors are columns."""
    body: dict[str, Any] = {"inputs": [tensor("INT32", [2, 1], [1, 2], "age")]}
    (body["inputs"][0] if where == "tensor" else body)["parameters"] = {"content_type": "pd"}
    decoded = decode(body)
    assert (decoded.data_type, decoded.names, instances(decoded)) == ("number", ["age"], [[1], [2]])
    assert [item.elements for item in decoded.items] == [{"age": 1}, {"age": 2}]


@pytest.mark.parametrize("content_type", ["np", "str", "base64"])
def test_other_content_types_change_nothing(content_type: str) -> None:
    """Base64 stays base64: bytes are no JSON."""
    decoded = decode({"inputs": [tensor("BYTES", [1], ["AAE="], content_type=content_type)]})
    assert (decoded.data_type, decoded.names, instances(decoded)) == ("text", None, ["AAE="])


def test_all_outputs_are_kept() -> None:
    """Rows of the common first dimension: single columns as values, others as lists."""
    decoded = decode(
        {
            "outputs": [
                tensor("FP64", [2, 2], [0.1, 0.9, 0.8, 0.2], "proba"),
                tensor("BYTES", [2, 1], ["a", "b"], "label"),
            ]
        }
    )
    assert (decoded.data_type, decoded.names) == ("tabular", ["proba", "label"])
    assert instances(decoded) == [[[0.1, 0.9], "a"], [[0.8, 0.2], "b"]]
    assert decoded.items[1].elements == {"proba": [0.8, 0.2], "label": "b"}


def test_outputs_of_different_lengths_make_one_row() -> None:
    """As of an object detector: no batch can be seen."""
    decoded = decode({"outputs": [tensor("FP64", [2], [0.5, 0.6], "scores"), tensor("INT32", [1], [2], "count")]})
    assert (decoded.data_type, decoded.names) == ("json", ["scores", "count"])
    assert instances(decoded) == [[[0.5, 0.6], [2]]]
    assert decoded.items[0].elements == {"scores": [0.5, 0.6], "count": [2]}


def test_tensors_without_names_are_named_by_position() -> None:
    """A name is required by the protocol, but a body without is no reason to lose it."""
    unnamed = {"datatype": "INT32", "shape": [1], "data": [1]}
    assert decode({"outputs": [unnamed, unnamed]}).names == ["outputs[0]", "outputs[1]"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (tensor("FP32", [2, 2], [1]), "inputs[0] 'x': shape [2, 2] does not fit 1 values"),
        (tensor("FP32", [0, 2], []), "inputs[0] 'x': no values"),
        (tensor("FP32", [2], [[1, 2], [3]]), "inputs[0] 'x': data is ragged"),
        (tensor("FP32", [1], ["a"]), "inputs[0] 'x': data has values that are no numbers"),
        (tensor("FP16", [1], [{}]), "inputs[0] 'x': data has values that are no numbers"),
        (tensor("INT32", [1], ["a"]), "inputs[0] 'x': data has values that are no INT32"),
        (tensor("INT32", [1], [{}]), "inputs[0] 'x': data has values that are no INT32"),
        (tensor("BOOL", [1], [2]), "inputs[0] 'x': data has values that are no BOOL"),
        (tensor("BYTES", [2], ["a", 1]), "inputs[0] 'x': data has values that are no BYTES"),
        (tensor("BYTES", [1], [256]), "inputs[0] 'x': BYTES data of numbers must be 0 to 255"),
        (tensor("BYTES", [2], [1]), "inputs[0] 'x': shape [2] does not fit 1 values"),
        (tensor(["FP32"], [1], [1]), "inputs[0] 'x': unknown datatype ['FP32']"),
        (tensor("FP32", "1", [1]), "inputs[0] 'x': shape must be a list of integers"),
        ({"name": "x", "datatype": "FP32", "shape": [1]}, "inputs[0] 'x': shape [1] does not fit 0 values"),
    ],
)
def test_refuses_in_one_line(bad: dict[str, Any], reason: str) -> None:
    """The reason names the tensor."""
    with pytest.raises(UndecodableError) as caught:
        decode({"inputs": [bad]})
    assert str(caught.value).startswith(reason)


def test_refuses_what_is_no_tensor_among_tensors() -> None:
    """The first tensor decides that a body is V2."""
    with pytest.raises(UndecodableError, match=r"inputs\[1\]: expected a tensor object"):
        decode({"inputs": [tensor("INT32", [1], [1]), 5]})


# The binary form.


def raw_tensor(datatype: str, shape: list[int], raw: bytes, name: str = "x") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(raw)}}


def binary(header: dict[str, Any], *tails: bytes) -> bytes:
    return json.dumps(header, ensure_ascii=False).encode() + b"".join(tails)


def packed(*texts: bytes) -> bytes:
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def test_binary_form() -> None:
    """JSON and raw tensors mixed; the payload is the JSON form of all."""
    numbers, texts = np.array([1, 2], "<i4").tobytes(), packed("größe".encode(), b"")
    header = {
        "id": "é{",
        "inputs": [
            raw_tensor("INT32", [2, 1], numbers, "a"),
            tensor("FP64", [2], [0.5, 1.5], "b"),
            raw_tensor("BYTES", [2], texts, "c"),
        ],
    }
    decoded = decode_body(binary(header, numbers, texts))
    assert (decoded.names, decoded.fields) == (["a", "b", "c"], {"id": "é{"})
    assert instances(decoded) == [[1, 0.5, "größe"], [2, 1.5, ""]]
    assert [part["data"] for part in decoded.payload["inputs"]] == [[1, 2], [0.5, 1.5], ["größe", ""]]
    again = decode_body(json.dumps(decoded.payload).encode())
    assert (again.items, again.data_type, again.names) == (decoded.items, decoded.data_type, decoded.names)


def test_binary_bytes_that_are_no_text_become_base64() -> None:
    """All of the tensor's, marked by the content type that means it."""
    raw = packed(b"\xff\xd8", b"text")
    decoded = decode_body(binary({"inputs": [raw_tensor("BYTES", [2], raw)]}, raw))
    assert instances(decoded) == [base64.b64encode(b"\xff\xd8").decode(), base64.b64encode(b"text").decode()]
    assert decoded.payload["inputs"][0]["parameters"]["content_type"] == "base64"


def test_binary_nan() -> None:
    """Null in the row, text in the payload."""
    raw = np.array([np.nan, 1], "<f4").tobytes()
    decoded = decode_body(binary({"inputs": [raw_tensor("FP32", [1, 2], raw)]}, raw))
    assert instances(decoded) == [[None, 1.0]]
    assert decoded.payload["inputs"][0]["data"] == ["NaN", 1.0]


@pytest.mark.parametrize("raw", [b" ", b"\n\t"])
def test_binary_values_that_are_white_space(raw: bytes) -> None:
    """JSON with white space after it is JSON, but here the spaces are the data."""
    header = {"inputs": [raw_tensor("UINT8", [len(raw)], raw)]}
    assert instances(decode_body(binary(header, raw))) == list(raw)


def test_json_form_with_a_binary_size_and_a_newline() -> None:
    """Data in the JSON is not looked for behind it."""
    body = {"inputs": [tensor("UINT8", [1], [7], binary_data_size=1)]}
    assert instances(decode_body(binary(body, b"\n"))) == [7]


@pytest.mark.parametrize(
    ("header", "tail", "reason"),
    [
        ({"inputs": [raw_tensor("INT32", [2], bytes(8))]}, bytes(9), "inputs: 9 bytes follow the JSON, its tensors"),
        ({"inputs": [raw_tensor("INT32", [2], bytes(8))]}, bytes(7), "inputs[0]: 7 bytes are no 'INT32' values"),
        ({"inputs": [raw_tensor("INT32", [2], bytes(8))]}, bytes(4), "inputs: 4 bytes follow the JSON, its tensors"),
        ({"inputs": [raw_tensor("NONE", [2], bytes(8))]}, bytes(8), "inputs[0]: 8 bytes are no 'NONE' values"),
        ({"inputs": [raw_tensor("BYTES", [1], bytes(3))]}, bytes(3), "inputs[0]: BYTES values are cut short"),
        ({"inputs": [raw_tensor("BYTES", [1], bytes(6))]}, b"\xff\0\0\0aa", "inputs[0]: BYTES values are cut short"),
        ({"inputs": [tensor("INT32", [1], [1])]}, b"\xff", "body is neither JSON nor UTF-8 text"),
        ({"data": 1}, b"\xff", "body is neither JSON nor UTF-8 text"),
        ({"data": 1}, b"x", "body is not JSON"),
    ],
)
def test_binary_form_refuses(header: dict[str, Any], tail: bytes, reason: str) -> None:
    """Sizes must fit; other bytes after JSON are no V2."""
    with pytest.raises(UndecodableError) as caught:
        decode_body(binary(header, tail))
    assert str(caught.value).startswith(reason)


def test_every_datatype_is_tested() -> None:
    """A new datatype needs a line in the table above."""
    assert {*NUMPY, "BF16", "BYTES"} == v2_datatypes.DATATYPES
