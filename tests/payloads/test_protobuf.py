"""Protobuf bodies: bytes written by the public definitions' own code, and messages of every kind."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import numpy as np
import pytest

from request_logger.payloads import UndecodableError, decode_body, decode_protobuf, is_protobuf
from request_logger.payloads.protobuf_messages import message_class

PROTOBUF = "application/protobuf"

# Written by tritonclient, from the public grpc_service.proto.
REQUEST = base64.b64decode(
    "CgFtEgExGgFpIgcKAXASAhAFIggKAXMSAxoBdCIHCgFxEgIIACo3CgF4EgRGUDMyGgICAiIUCgxjb250ZW50X3R5cGUSBBoCbnAqEjIQzczMPQAA"
    "gD8AAABAAABAQCodCgFiEgVCWVRFUxoCAgEqDUICaGlCB2dyw7bDn2UyAwoBeQ=="
)
RAW_REQUEST = base64.b64decode(
    "CgFtKg4KAWkSBUlOVDY0GgICASoNCgFoEgRGUDE2GgICASoOCgF0EgVCWVRFUxoCAgE6EAEAAAAAACAA//////////86BAA4AD46CgIAAABoaQAA"
    "AAA="
)
RESPONSE = base64.b64decode("CgFtEgExGgFpKhUKAXkSBVVJTlQ4GgIBAioFIgMA/wE=")
RAW_RESPONSE = base64.b64decode("CgFtKg0KAXkSBEZQNjQaAgECMhAAAAAAAADgPwAAAAAAAPh/")


def seldon(**fields: Any) -> bytes:
    raw: bytes = message_class("SeldonMessage")(**fields).SerializeToString()
    return raw


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/protobuf", True),
        ("Application/X-Protobuf; messageType=x", True),
        ("application/vnd.google.protobuf", True),
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("application/json", False),
        ("", False),
        (None, False),
    ],
)
def test_content_types(content_type: str | None, expected: bool) -> None:
    """Protobuf is known by its content type only."""
    assert is_protobuf(content_type) is expected


def test_v2_request() -> None:
    """Contents typed by field, parameters of every type, requested outputs."""
    body = decode_protobuf(REQUEST)
    assert body["inputs"] == [
        {
            "name": "x",
            "datatype": "FP32",
            "shape": [2, 2],
            "parameters": {"content_type": "np"},
            "data": [float(np.float32(0.1)), 1.0, 2.0, 3.0],
        },
        {"name": "b", "datatype": "BYTES", "shape": [2, 1], "data": ["hi", "größe"]},
    ]
    assert body["outputs"] == [{"name": "y"}]
    assert (body["model_name"], body["model_version"], body["id"]) == ("m", "1", "i")
    assert body["parameters"] == {"p": 5, "q": False, "s": "t"}
    assert decode_body(REQUEST, PROTOBUF).items[1].instance == [[2.0, 3.0], "größe"]


def test_v2_raw_request() -> None:
    """Raw contents stand outside of the tensors."""
    decoded = decode_body(RAW_REQUEST, "application/grpc")
    assert [item.instance for item in decoded.items] == [[2**53 + 1, 0.5, "hi"], [-1, 1.5, ""]]
    assert decoded.names == ["i", "h", "t"]


def test_v2_response() -> None:
    """A response with typed contents has the bytes of a request: the caller knows."""
    assert decode_body(RESPONSE, PROTOBUF, is_response=True).payload["outputs"][0]["data"] == [0, 255]
    assert decode_body(RESPONSE, PROTOBUF).payload["inputs"][0]["data"] == [0, 255]


@pytest.mark.parametrize("is_response", [False, True])
def test_v2_raw_response(is_response: bool) -> None:
    """Raw contents tell a response by themselves; NaN is null in the row."""
    decoded = decode_body(RAW_RESPONSE, PROTOBUF, is_response=is_response)
    assert decoded.payload == {
        "model_name": "m",
        "outputs": [{"name": "y", "datatype": "FP64", "shape": [1, 2], "data": [0.5, "NaN"]}],
    }
    assert decoded.items[0].instance == [0.5, None]


@pytest.mark.parametrize(
    ("datatype", "field", "data"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("INT8", "int_contents", [-1, 1]),
        ("INT16", "int_contents", [-1, 1]),
        ("INT32", "int_contents", [-1, 1]),
        ("INT64", "int64_contents", [-(2**63), 1]),
        ("UINT8", "uint_contents", [0, 255]),
        ("UINT16", "uint_contents", [0, 1]),
        ("UINT32", "uint_contents", [0, 2**32 - 1]),
        ("UINT64", "uint64_contents", [0, 2**64 - 1]),
        ("FP32", "fp32_contents", [0.5, 1.0]),
        ("FP64", "fp64_contents", [0.1, 1.0]),
        ("BYTES", "bytes_contents", [b"a", b"b"]),
    ],
)
def test_v2_contents(datatype: str, field: str, data: list[Any]) -> None:
    """Each datatype has its field."""
    tensor = {"name": "x", "datatype": datatype, "shape": [2], "contents": {field: data}}
    raw = message_class("ModelInferRequest")(inputs=[tensor]).SerializeToString()
    expected = ["a", "b"] if datatype == "BYTES" else data
    assert json.dumps([item.instance for item in decode_body(raw, PROTOBUF).items]) == json.dumps(expected)


def test_v2_bytes_that_are_no_text() -> None:
    """They become base64, marked so."""
    tensor = {"name": "x", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [b"\xff"]}}
    body = decode_protobuf(message_class("ModelInferRequest")(inputs=[tensor]).SerializeToString())
    assert (body["inputs"][0]["data"], body["inputs"][0]["parameters"]) == (["/w=="], {"content_type": "base64"})


@pytest.mark.parametrize(
    ("tensors", "raw", "reason"),
    [
        (["FP32"], [b"", b""], "inputs: 1 tensors, but 2 raw contents"),
        (["FP32", "FP32"], [], "inputs: 2 tensors, but 0 raw contents"),
        (["FP32"], [b"123"], r"inputs\[0\]: 3 bytes are no 'FP32' values"),
        (["NONE"], [b""], r"inputs\[0\]: 0 bytes are no 'NONE' values"),
    ],
)
def test_v2_refuses(tensors: list[str], raw: list[bytes], reason: str) -> None:
    """Tensors without their contents."""
    inputs = [{"name": "x", "datatype": datatype, "shape": [1]} for datatype in tensors]
    body = message_class("ModelInferRequest")(inputs=inputs, raw_input_contents=raw).SerializeToString()
    with pytest.raises(UndecodableError, match=reason):
        decode_protobuf(body)


def test_v2_half_precision_needs_raw_contents() -> None:
    """The definition has no field for it."""
    tensor = {"name": "x", "datatype": "FP16", "shape": [1], "contents": {"fp32_contents": [1]}}
    with pytest.raises(UndecodableError, match=r"inputs\[0\]: FP16 needs raw contents"):
        decode_protobuf(message_class("ModelInferRequest")(inputs=[tensor]).SerializeToString())


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (
            seldon(data={"names": ["a"], "tensor": {"shape": [1, 1], "values": [0.1]}}),
            {"data": {"names": ["a"], "tensor": {"shape": [1, 1], "values": [0.1]}}},
        ),
        (
            seldon(data={"ndarray": [[1, "a", True, None, {"k": [0.5]}]]}),
            {"data": {"ndarray": [[1.0, "a", True, None, {"k": [0.5]}]]}},
        ),
        (seldon(strData=""), {"strData": ""}),
        (seldon(binData=b"\0\xff"), {"binData": "AP8="}),
        (seldon(jsonData={"struct_value": {"a": 1}}), {"jsonData": {"a": 1.0}}),
        (seldon(customData={"type_url": "t", "value": b"\0"}), {"customData": {"@type": "t", "value": "AA=="}}),
        (seldon(strData="a", meta={}), {"meta": {}, "strData": "a"}),
        (
            seldon(status={"code": 500, "info": "boom", "status": 1}),
            {"status": {"code": 500, "info": "boom", "status": "FAILURE"}},
        ),
    ],
)
def test_seldon_message(raw: bytes, body: dict[str, Any]) -> None:
    """The JSON is that of the REST protocol; a payload decodes to the same rows again."""
    assert decode_protobuf(raw) == body
    decoded = decode_body(raw, PROTOBUF)
    again = decode_body(json.dumps(decoded.payload).encode())
    assert (again.items, again.fields, again.data_type) == (decoded.items, decoded.fields, decoded.data_type)


def test_seldon_meta() -> None:
    """Every field of the meta data, enums by name."""
    metrics = [{"key": "k", "type": 1, "value": 1.5, "tags": {"a": "b"}}, {"key": "c", "type": 9}]
    meta = {"puid": "p", "routing": {"r": -1}, "requestPath": {"m": "img"}, "metrics": metrics}
    message = message_class("SeldonMessage")(meta=meta, strData="a")
    message.meta.tags["t"].number_value = 1
    assert decode_protobuf(message.SerializeToString())["meta"] == {
        "puid": "p",
        "tags": {"t": 1.0},
        "routing": {"r": -1},
        "requestPath": {"m": "img"},
        "metrics": [
            {"key": "k", "type": "GAUGE", "value": 1.5, "tags": {"a": "b"}},
            {"key": "c", "type": 9, "value": 0.0},
        ],
    }


@pytest.mark.parametrize(
    ("tensor", "rows"),
    [
        ({"dtype": 1, "float_val": [0.5, 1]}, [0.5, 1.0]),
        ({"dtype": 2, "double_val": [0.1, 1]}, [0.1, 1.0]),
        ({"dtype": 3, "int_val": [1, -2]}, [1.0, -2.0]),
        ({"dtype": 7, "string_val": [b"hi", "größe".encode()]}, ["hi", "größe"]),
        ({"dtype": 9, "int64_val": [1, 2]}, [1.0, 2.0]),
        ({"dtype": 10, "bool_val": [True, False]}, [True, False]),
        ({"dtype": 19, "half_val": [0x3E00, 0xC000]}, [1.5, -2.0]),
        ({"dtype": 22, "uint32_val": [1, 2]}, [1.0, 2.0]),
        ({"dtype": 23, "uint64_val": [1, 2]}, [1.0, 2.0]),
        ({"dtype": 1, "tensor_content": struct.pack("<2f", 0.5, 1)}, [0.5, 1.0]),
    ],
)
def test_seldon_tftensor(tensor: dict[str, Any], rows: list[Any]) -> None:
    """Every field of values."""
    raw = seldon(data={"tftensor": {**tensor, "tensor_shape": {"dim": [{"size": 2}, {"size": 1}]}}})
    assert json.dumps([item.instance for item in decode_body(raw, PROTOBUF).items]) == json.dumps(
        [[row] for row in rows]
    )


def test_grpc_frame_is_taken_off() -> None:
    """Five bytes before a message on the wire: uncompressed, and its length."""
    raw = seldon(strData="hi")
    assert decode_protobuf(b"\0" + len(raw).to_bytes(4, "big") + raw) == {"strData": "hi"}


@pytest.mark.parametrize(
    "raw", [b"", b"\0\0\0\0\0", b"hello", b"\xff\xff\xff", b"\x1a\x05ab", b'{"data":1}', bytes(50)]
)
def test_garbage_is_refused_in_one_line(raw: bytes) -> None:
    """Not a message of a known protocol, whatever protobuf reads from it."""
    with pytest.raises(UndecodableError) as caught:
        decode_protobuf(raw)
    assert str(caught.value).startswith("protobuf body is neither a SeldonMessage nor a V2")


def test_empty_body_is_the_same_for_all_content_types() -> None:
    """There is nothing to parse as anything."""
    with pytest.raises(UndecodableError, match="empty body"):
        decode_body(b"", PROTOBUF)
