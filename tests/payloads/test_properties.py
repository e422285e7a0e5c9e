"""Whatever comes, it is rows or an UndecodableError of one line; and rows are those that numpy makes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from request_logger.payloads import UndecodableError, bodies, decode_body, decode_protobuf, decoders, parse_body
from request_logger.payloads.base import Decoded

# The time of a case says nothing where tests run side by side, and large values take a while to make.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["NaN", "aGk="])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
shapes = st.lists(st.integers(-1, 4) | scalars, max_size=4) | scalars
datatypes = st.sampled_from(["FP32", "FP16", "BF16", "INT64", "BOOL", "BYTES", "UINT8", "NONE"]) | scalars
tensors = st.fixed_dictionaries(
    {"name": scalars, "datatype": datatypes},
    optional={
        "shape": shapes,
        "data": values | st.lists(st.integers(0, 255), max_size=6),
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 8)}) | values,
    },
)
dims = st.fixed_dictionaries({"size": st.integers(-1, 4) | scalars})
tftensors = st.fixed_dictionaries(
    {"dtype": st.integers(0, 25) | scalars},
    optional={
        "tensor_shape": values
        | st.fixed_dictionaries({"dim": st.lists(st.fixed_dictionaries({"size": scalars}), max_size=3)}),
        "float_val": values | st.lists(st.floats(), max_size=4),
        "int64Val": values,
        "half_val": st.lists(st.integers(-5, 70000), max_size=3),
        "string_val": values,
        "tensor_content": scalars,
    },
)
seldon_data = values | st.fixed_dictionaries(
    {},
    optional={
        "names": values,
        "ndarray": values,
        "tensor": values | st.fixed_dictionaries({"shape": shapes, "values": values | st.lists(scalars, max_size=6)}),
        "tftensor": values | tftensors,
    },
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "data": seldon_data,
        "strData": values,
        "jsonData": values,
        "binData": values,
        "meta": values,
        "status": values,
        "instances": values,
        "predictions": values,
        "inputs": values | st.lists(tensors, max_size=3),
        "outputs": values | st.lists(tensors, max_size=3),
        "dataType": values,
        "instance": values,
        "elements": values,
        "names": values,
    },
)


def check(decoded: Decoded) -> None:
    """What every result futures."""
    assert decoded.items
    assert all(item.elements is None or isinstance(item.elements, dict) for item in decoded.items)
    stored = [[item.instance, item.elements] for item in decoded.items]
    json.dumps([stored, decoded.payload, decoded.names, decoded.fields], allow_nan=False).encode()


@patient
@given(messages)
def test_any_message_is_decoded_or_refused_by_its_decoder(message: dict[str, Any]) -> None:
    """Straight to the decoders, whose mistakes would otherwise be caught."""
    body = bodies.storable(message).value
    for _, decoder in decoders():
        if decoder.accepts(body):
            try:
                check(decoder.decode(body))
            except UndecodableError as error:
                assert "\n" not in str(error)


@patient
@given(messages | values, st.binary(max_size=10))
def test_any_json_is_decoded_or_refused(message: Any, tail: bytes) -> None:
    """As bytes, with NaN literals, lone surrogates and bytes that follow."""
    raw = json.dumps(message, ensure_ascii=True).encode()
    for body in (raw, raw + tail, gzip.compress(raw)):
        try:
            check(decode_body(body))
        except UndecodableError as error:
            assert "\n" not in str(error)
            assert not str(error).startswith("decoder ")


@patient
@given(st.binary(max_size=60), st.sampled_from(["application/protobuf", "application/x-www-form-urlencoded", None]))
def test_any_bytes_are_decoded_or_refused(raw: bytes, content_type: str | None) -> None:
    """Also after gzip's magic bytes and as a form."""
    for body in (raw, b"\x1f\x8b" + raw, b"json=" + raw, gzip.compress(raw)):
        try:
            check(decode_body(body, content_type))
        except UndecodableError as error:
            assert "\n" not in str(error)


@patient
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_protobuf_or_refused(raw: bytes, is_response: bool) -> None:
    """No other exception."""
    try:
        assert isinstance(decode_protobuf(raw, is_response=is_response), dict)
    except UndecodableError as error:
        assert "\n" not in str(error)


@patient
@given(values)
def test_parsing_keeps_values(value: Any) -> None:
    """Of JSON that can be stored, the very value; of other JSON, one that can be stored."""
    raw = json.dumps(value).encode()
    stored = parse_body(raw)
    json.dumps(stored, allow_nan=False).encode()
    try:
        plain = orjson.dumps(value)
    except TypeError:
        return  # integers beyond 64 bits, lone surrogates
    if b"NaN" not in raw and b"Infinity" not in raw:
        assert stored == orjson.loads(plain)


arrays = st.lists(st.integers(1, 4), min_size=1, max_size=4).flatmap(
    lambda shape: st.lists(
        st.integers(-(2**31), 2**31) | st.floats(width=32, allow_nan=False, allow_infinity=False),
        min_size=int(np.prod(shape)),
        max_size=int(np.prod(shape)),
    ).map(lambda flat: np.array(flat, np.float64).reshape(shape))
)


@pytest.mark.parametrize("form", ["ndarray", "tensor", "instances", "v2", "v2_nested", "tftensor"])
@patient
@given(array=arrays)
def test_rows_are_those_of_numpy(form: str, array: np.ndarray[Any, Any]) -> None:
    """Every form of the same array has the same rows and kind."""
    shape, flat = list(array.shape), array.ravel().tolist()
    body: dict[str, Any] = {
        "ndarray": {"data": {"ndarray": array.tolist()}},
        "tensor": {"data": {"tensor": {"shape": shape, "values": flat}}},
        "instances": {"instances": array.tolist()},
        "v2": {"inputs": [{"name": "x", "datatype": "FP64", "shape": shape, "data": flat}]},
        "v2_nested": {"inputs": [{"name": "x", "datatype": "FP64", "shape": shape, "data": array.tolist()}]},
        "tftensor": {
            "data": {
                "tftensor": {"dtype": 2, "tensorShape": {"dim": [{"size": size} for size in shape]}, "doubleVal": flat}
            }
        },
    }[form]
    decoded = decode_body(orjson.dumps(body))
    assert [item.instance for item in decoded.items] == array.tolist()
    columns = shape[1] if len(shape) > 1 else 1
    kind = "image" if len(shape) > 3 else "tabular" if len(shape) == 3 or columns > 1 else "number"
    assert decoded.data_type == kind
