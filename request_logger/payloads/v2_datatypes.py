"""Converts the values of V2 tensors from JSON and from raw bytes, for every datatype of the protocol.

Values are those that the model saw: FP32 0.1 becomes 0.10000000149011612. Numbers that are not finite become None in
rows.
"""

from __future__ import annotations

import base64
import math
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from request_logger.common.number_text import NumberText, of_values
from request_logger.payloads.arrays import Survey
from request_logger.payloads.base import UndecodableError

BASE64 = "base64"

# datatype -> numpy's type of the raw bytes
_RAW = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BF16": "<u2",
}
_ROUNDED_BY_NUMPY = {"FP32": "f4", "FP16": "f2"}
DATATYPES = frozenset({*_RAW, "BYTES"})
_INTEGERS = frozenset(name for name in _RAW if "INT" in name)
AS_TEXT = frozenset({*_ROUNDED_BY_NUMPY, *_INTEGERS, "FP64"})
"""The datatypes whose JSON data `from_text` can keep as text."""
# Fewer values are parsed faster than they are handled as text.
_LEAST_AS_TEXT = 4096
_LEAST_UNSIGNED = 2**63
_LENGTH_BYTES = 4


def from_json(datatype: Any, data: Survey, what: str) -> list[Any]:
    """Return a tensor's flat values from the leaves of its JSON data.

    Raises UndecodableError if the datatype is unknown, or a value doesn't have it.
    """
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise UndecodableError(f"{what}: unknown datatype {datatype!r:.40}, expected one of {', '.join(_ALL)}")
    if datatype in _ROUNDED:
        return _round(_ROUNDED[datatype], data.leaves, what)
    if data.kinds <= _EXACT[datatype]:
        return data.leaves
    convert = _CONVERTED[datatype]
    try:
        return [None if leaf is None else convert(leaf) for leaf in data.leaves]
    except (TypeError, ValueError, OverflowError):
        raise UndecodableError(f"{what}: data has values that are no {datatype}") from None


def from_text(datatype: Any, data: NumberText, shape: tuple[int, ...]) -> NumberText | None:
    """Return the values of a tensor with a datatype of AS_TEXT, or that of the text, nested to its shape.

    None if they must be parsed.
    """
    if data.datatype == datatype:
        return data.reshaped(shape)
    if datatype in _ROUNDED_BY_NUMPY:
        return data.rounded(_ROUNDED_BY_NUMPY[datatype], shape)
    if datatype in _INTEGERS and not data.are_integers():
        return None
    exact = data.as_floats() if datatype == "FP64" else data
    return exact if exact.shape == shape else exact.reshaped(shape)


def from_raw(datatype: str, raw: bytes, what: str) -> list[Any]:
    """Return a numeric or boolean tensor's flat values from its raw, little-endian bytes (NaN stays NaN).

    Raises UndecodableError if the datatype is unknown, or the length doesn't fit it.
    """
    listed: list[Any] = _values_of_raw(datatype, raw, what).tolist()
    return listed


def _values_of_raw(datatype: str, raw: bytes, what: str) -> np.ndarray[Any, Any]:
    dtype = np.dtype(_RAW[datatype]) if datatype in _RAW else None
    if dtype is None or len(raw) % dtype.itemsize:
        raise UndecodableError(f"{what}: {len(raw)} bytes are no {datatype!r:.40} values")
    values = np.frombuffer(raw, dtype)
    return (values.astype("<u4") << 16).view("<f4") if datatype == "BF16" else values


def text_from_raw(datatype: str, raw: bytes, what: str) -> NumberText | None:
    """Return the values of `from_raw` as text; None if they are few, or some of them have none that can be stored.

    Raises UndecodableError as `from_raw` does.
    """
    return _as_text(datatype, _values_of_raw(datatype, raw, what))


def text_from_values(datatype: str, values: Sequence[float]) -> NumberText | None:
    """Return the numbers of a message as text; None if they are few, or can't be stored."""
    if datatype not in AS_TEXT or len(values) < _LEAST_AS_TEXT:
        return None
    # A message can have greater integers than the datatype, which are stored unchanged.
    kind = np.float64 if datatype.startswith("FP") else np.uint64 if datatype == "UINT64" else np.int64
    return _as_text(datatype, np.array(list(values), kind))


def _as_text(datatype: str, values: np.ndarray[Any, Any]) -> NumberText | None:
    if len(values) < _LEAST_AS_TEXT or values.dtype.kind == "b":
        return None
    if values.dtype.kind == "f":
        values = values.astype(np.float64)
        return of_values(values, datatype) if np.isfinite(values).all() else None
    # A greater one may have twenty digits, like integers that have no place in 64 bits.
    return None if values.max() >= _LEAST_UNSIGNED else of_values(values, datatype)


def split_bytes(raw: bytes, what: str) -> list[bytes]:
    """Return the elements of raw BYTES, each preceded by its length (4 bytes, little-endian)."""
    parts: list[bytes] = []
    position = 0
    while position < len(raw):
        start = position + _LENGTH_BYTES
        position = start + int.from_bytes(raw[position:start], "little")
        if position > len(raw) or start > len(raw):
            raise UndecodableError(f"{what}: BYTES values are cut short")
        parts.append(raw[start:position])
    return parts


def text_of_bytes(parts: list[bytes]) -> tuple[list[str], bool]:
    """Return BYTES elements as text and False; if one isn't UTF-8, all of them as base64 and True."""
    try:
        return [part.decode() for part in parts], False
    except UnicodeDecodeError:
        return [base64.b64encode(part).decode() for part in parts], True


def text_of_codes(codes: list[int], length: int, what: str) -> list[str]:
    """Return the texts of BYTES data given as numbers, each ``length`` (the shape's last dimension) bytes long."""
    try:
        raw = bytes(codes)
    except ValueError:
        raise UndecodableError(f"{what}: BYTES data of numbers must be 0 to 255") from None
    return text_of_bytes([raw[start : start + length] for start in range(0, len(raw), length)])[0]


def fill(tensor: dict[str, Any], raw: bytes, what: str, *, keeps_text: bool = False) -> None:
    """Set a tensor's ``data`` to the values of raw bytes; BYTES that aren't text are marked as base64.

    With ``keeps_text`` many numbers are a NumberText.
    """
    datatype = tensor.get("datatype")
    if datatype != "BYTES":
        text = text_from_raw(str(datatype), raw, what) if keeps_text else None
        tensor["data"] = from_raw(str(datatype), raw, what) if text is None else text
        return
    put_bytes(tensor, split_bytes(raw, what))


def put_bytes(tensor: dict[str, Any], parts: list[bytes]) -> None:
    """Set a tensor's ``data`` to BYTES elements; those that aren't text are marked as base64."""
    tensor["data"], encoded = text_of_bytes(parts)
    if encoded:
        parameters = tensor.get("parameters")
        tensor["parameters"] = {
            **(parameters if isinstance(parameters, dict) else {}),
            "content_type": BASE64,
        }


def _round(rounding: Callable[[list[Any]], list[Any]], leaves: list[Any], what: str) -> list[Any]:
    try:
        values = rounding(leaves)
    except (TypeError, ValueError, OverflowError):
        values = rounding([_float(leaf, what) for leaf in leaves])
    if all(map(math.isfinite, values)):
        return values
    return [value if math.isfinite(value) else None for value in values]


def _float(leaf: Any, what: str) -> float:
    """Return a number from null, protobuf's text form ("NaN", "0.5"), or an integer beyond the range of doubles."""
    try:
        return math.nan if leaf is None else float(leaf)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        raise UndecodableError(f"{what}: data has values that are no numbers") from None


def _half(values: list[Any]) -> list[Any]:
    with np.errstate(over="ignore"):
        listed: list[Any] = np.array(values, np.float64).astype(np.float16).tolist()
    return listed


def _bfloat(values: list[Any]) -> list[Any]:
    """Round to the nearest bfloat16, the upper half of a float32, ties to even."""
    with np.errstate(over="ignore"):
        bits = np.array(values, np.float64).astype(np.float32).view(np.uint32).astype(np.uint64)
    # NaN must not be rounded: the carry would turn it into a number.
    exact = np.where(bits & 0x7FFFFFFF > 0x7F800000, bits, bits + 0x7FFF + ((bits >> 16) & 1))
    listed: list[Any] = (exact & 0xFFFF0000).astype(np.uint32).view(np.float32).tolist()
    return listed


def _integer(leaf: Any) -> int | float:
    number = int(leaf) if isinstance(leaf, str) else leaf
    whole = int(number)
    float(whole)  # raises OverflowError for numbers that search engines don't preserve
    return whole if whole == number else float(number)


def _boolean(leaf: Any) -> bool:
    if leaf not in (0, 1):
        raise ValueError(leaf)
    return bool(leaf)


def _text(leaf: Any) -> str:
    if not isinstance(leaf, str):
        raise TypeError(leaf)
    return leaf


_ALL = sorted(DATATYPES)
_ROUNDED: dict[str, Callable[[list[Any]], list[Any]]] = {
    "FP64": lambda values: array("d", values).tolist(),
    "FP32": lambda values: array("f", values).tolist(),
    "FP16": _half,
    "BF16": _bfloat,
}
_EXACT: dict[str, frozenset[type]] = {
    **dict.fromkeys(_INTEGERS, frozenset({int, type(None)})),
    "BOOL": frozenset({bool, type(None)}),
    "BYTES": frozenset({str, type(None)}),
}
_CONVERTED: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_INTEGERS, _integer),
    "BOOL": _boolean,
    "BYTES": _text,
}
