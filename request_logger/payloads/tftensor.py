"""Decodes TensorFlow's TensorProto in JSON (Seldon's ``data.tftensor``), with original or camel-case field names."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

import numpy as np

from request_logger.payloads import arrays
from request_logger.payloads.base import Decoded, UndecodableError

_WHAT = "data.tftensor"

# In TensorFlow the last value of a short list is repeated to fill the shape. Without a limit, a few bytes could make
# the decoder allocate any amount of memory.
_MAX_REPEATED = 1_000_000

# name -> (number, numpy's type of tensor_content)
_TYPES: dict[str, tuple[int, str]] = {
    "DT_FLOAT": (1, "<f4"),
    "DT_DOUBLE": (2, "<f8"),
    "DT_INT32": (3, "<i4"),
    "DT_UINT8": (4, "u1"),
    "DT_INT16": (5, "<i2"),
    "DT_INT8": (6, "i1"),
    "DT_STRING": (7, ""),
    "DT_INT64": (9, "<i8"),
    "DT_BOOL": (10, "?"),
    "DT_BFLOAT16": (14, "<u2"),
    "DT_UINT16": (17, "<u2"),
    "DT_HALF": (19, "<f2"),
    "DT_UINT32": (22, "<u4"),
    "DT_UINT64": (23, "<u8"),
}
_NAMES: dict[Any, str] = {number: name for name, (number, _) in _TYPES.items()} | {name: name for name in _TYPES}
_VALUES = (
    "float_val",
    "double_val",
    "int_val",
    "int64_val",
    "uint32_val",
    "uint64_val",
    "bool_val",
    "half_val",
    "string_val",
)


def decode(tensor: Any, names: Any, fields: dict[str, Any]) -> Decoded:
    """Return a tensor as rows of its first dimension; numbers become floats, as in Seldon's other arrays.

    Raises UndecodableError if the dtype is unknown, or the values don't fit the shape or the dtype.
    """
    if not isinstance(tensor, dict):
        raise UndecodableError(f"{_WHAT}: expected an object")
    try:
        values = _values(tensor)
    except UndecodableError:
        raise
    except (TypeError, ValueError, OverflowError):
        raise UndecodableError(f"{_WHAT}: values don't fit the dtype") from None
    shape = _shape(tensor, len(values))
    size = math.prod(shape)
    if 0 < len(values) < size <= _MAX_REPEATED:
        values = values + values[-1:] * (size - len(values))
    sizes = arrays.resolve_shape(shape, len(values), _WHAT)
    rows = arrays.reshape(values, sizes)
    known = arrays.column_names(names)
    kind = arrays.data_type(arrays.Survey(sizes, [], frozenset(map(type, values))))
    return Decoded(kind, arrays.items(rows if sizes else [rows], known), known, fields)


def _get(tensor: dict[str, Any], name: str) -> Any:
    """Return a field by its original name or its camel-case name; None if it is missing."""
    if name in tensor:
        return tensor[name]
    first, *rest = name.split("_")
    return tensor.get(first + "".join(map(str.capitalize, rest)))


def _values(tensor: dict[str, Any]) -> list[Any]:
    field = next((name for name in _VALUES if _get(tensor, name)), None)
    dtype = _NAMES.get(tensor.get("dtype")) if not isinstance(tensor.get("dtype"), (list, dict)) else None
    content = _get(tensor, "tensor_content")
    if dtype is None and (content or tensor.get("dtype") not in (None, 0, "DT_INVALID")):
        raise UndecodableError(f"{_WHAT}: unknown dtype {tensor.get('dtype')!r:.40}")
    if content and dtype is not None and dtype != "DT_STRING":
        raw = np.frombuffer(base64.b64decode(content, validate=True), _TYPES[dtype][1])
        return _listed(_wide(raw) if dtype == "DT_BFLOAT16" else raw)
    if field is None:
        raise UndecodableError(f"{_WHAT}: no values")
    values = _get(tensor, field)
    if not isinstance(values, list):
        raise UndecodableError(f"{_WHAT}: {field} must be a list")
    if field == "string_val":
        return [_text(value) for value in values]
    if field == "bool_val":
        return [bool(value) for value in values]
    if field == "half_val":
        bits = np.array([int(value) for value in values], np.uint16)
        return _listed(_wide(bits) if dtype == "DT_BFLOAT16" else bits.view(np.float16))
    if field == "float_val":
        # Beyond a float32 it is infinite, of which numpy would warn.
        with np.errstate(over="ignore"):
            return _listed(np.array([float(value) for value in values]).astype(np.float32))
    return _listed(np.array([float(value) for value in values]))


def _wide(bits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return bfloat16 bits as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _listed(values: np.ndarray[Any, Any]) -> list[Any]:
    """Return numbers as floats, None for those that are not finite; booleans are kept."""
    if values.dtype == np.bool_:
        listed: list[Any] = values.tolist()
        return listed
    listed = values.astype(np.float64).tolist()
    return listed if np.isfinite(values).all() else [value if math.isfinite(value) else None for value in listed]


def _text(value: Any) -> str:
    """Return an element of string_val as text: base64 in protobuf's JSON form, but some senders write plain text."""
    if not isinstance(value, str):
        raise TypeError(value)
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return value


def _shape(tensor: dict[str, Any], count: int) -> list[int]:
    given = _get(tensor, "tensor_shape")
    if given is None:
        return [count]
    dims = given.get("dim", []) if isinstance(given, dict) else None
    try:
        return [int(dim["size"]) for dim in dims]  # type: ignore[union-attr]  # None is caught below
    except (TypeError, KeyError, ValueError):
        raise UndecodableError(f"{_WHAT}: tensor_shape must list dim with size") from None
