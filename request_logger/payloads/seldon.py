"""Decodes Seldon's messages: ``data`` (an ndarray, tensor or tftensor) and the four other kinds of content."""

from __future__ import annotations

import math
from typing import Any

from request_logger.common.number_text import NumberText
from request_logger.payloads import arrays, tftensor, v2
from request_logger.payloads.base import Decoded, Item, UndecodableError, columns_in

# In the order of the message definition's oneof: if a body has several, the first is used.
_CONTENTS = ("data", "binData", "strData", "jsonData", "customData")
_CONTENT_KEYS = frozenset(_CONTENTS)
_OTHER_KEYS = frozenset({"meta", "status"})
_ROWS_OF_OTHERS = frozenset({"instances", "predictions"})
_V2 = frozenset({"inputs", "outputs"})
_ARRAYS = ("tensor", "ndarray", "tftensor")
_PLAIN_NUMBERS = frozenset({int, float})


class SeldonDecoder:
    """Decodes a SeldonMessage in JSON. Unknown fields are allowed, and kept in the payload."""

    def accepts(self, body: dict[str, Any]) -> bool:
        """Return whether a body has one of the message's contents, or only ``status`` and ``meta``.

        A body that has another protocol's content, too, is of that protocol.
        """
        if not _CONTENT_KEYS.isdisjoint(body):
            return _ROWS_OF_OTHERS.isdisjoint(body) and (_V2.isdisjoint(body) or not v2.is_v2(body))
        return bool(body) and body.keys() <= _OTHER_KEYS

    def columns(self, body: dict[str, Any]) -> list[str]:
        """Return the names of the columns, and the keys of rows that are objects."""
        return columns_in(self.decode(body))

    def decode(self, body: dict[str, Any]) -> Decoded:
        """Return the decoded content; a body with only ``status`` or ``meta`` (a failure) is one JSON row."""
        fields: dict[str, Any] = {key: body[key] for key in ("meta", "status") if key in body}
        for key in _CONTENTS:
            content = body.get(key)
            # Only jsonData can have the value null; null in any other field means that it is absent.
            if content is not None or (key == "jsonData" and key in body):
                break
        else:
            if not any(fields.values()):
                raise UndecodableError(f"Seldon message without content: expected one of {', '.join(_CONTENTS)}")
            return Decoded("json", [Item(body)], None, fields, has_elements=False)
        if key == "data":
            return _decode_data(content, fields)
        if key == "binData":
            return Decoded("image", [Item(_text(key, content))], None, fields, has_elements=False)
        if key == "strData":
            return Decoded("text", [Item(_text(key, content))], None, fields, has_elements=False)
        return Decoded("json", [Item(arrays.floats(content))], None, fields, has_elements=False)


def number_column(message: dict[str, Any]) -> list[float] | None:
    """Return the rows of a message that is only an ``ndarray`` of numbers, as most truths; None for any other."""
    data = message.get("data")
    if len(message) > 1 or type(data) is not dict or len(data) > 1:
        return None
    array = data.get("ndarray")
    if type(array) is not list or not array or not _PLAIN_NUMBERS.issuperset(map(type, array)):
        return None
    try:
        return list(map(float, array))
    except OverflowError:
        return None


def _text(key: str, content: Any) -> str:
    if not isinstance(content, str):
        raise UndecodableError(f"{key}: expected text")
    return content


def _decode_data(data: Any, fields: dict[str, Any]) -> Decoded:
    if isinstance(data, dict):
        for key in _ARRAYS:
            content = data.get(key)
            if content is not None:
                break
        else:
            raise UndecodableError(f"data: expected one of {', '.join(_ARRAYS)}")
        names = data.get("names")
        if key == "ndarray":
            return arrays.rows_of(content, names, "data.ndarray", fields, as_floats=True)
        return _decode_tensor(content, names, fields) if key == "tensor" else tftensor.decode(content, names, fields)
    raise UndecodableError(f"data: expected an object with one of {', '.join(_ARRAYS)}")


def _decode_tensor(tensor: Any, names: Any, fields: dict[str, Any]) -> Decoded:
    values = tensor.get("values") if isinstance(tensor, dict) else None
    if isinstance(values, NumberText):
        if len(values.shape) == 1 and not names:
            count = values.shape[0]
            shape = arrays.resolve_shape(tensor.get("shape") or [count], count, "data.tensor")
            if values.has_large_rows(shape):
                return arrays.rows_of_text(values.as_floats().reshaped(shape), names, fields)
        values = values.parsed()
    if not isinstance(values, list):
        raise UndecodableError("data.tensor: expected an object with shape and values")
    kinds = frozenset(map(type, values))
    if not kinds <= arrays.NUMERIC:
        values = [_number(value) for value in values]
        kinds = frozenset({float, type(None)})
    shape = arrays.resolve_shape(tensor.get("shape") or [len(values)], len(values), "data.tensor")
    rows = arrays.reshape(arrays.float_leaves(values, kinds), shape)
    known = arrays.column_names(names)
    kind = arrays.data_type(arrays.Survey(shape, [], kinds))
    return Decoded(kind, arrays.items(rows, known), known, fields)


def _number(value: Any) -> float | None:
    """Return a number of protobuf's JSON form, in which numbers can be text, and non-finite ones always are."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise UndecodableError("data.tensor: values must be numbers") from None
    if value is None:
        return None
    if not isinstance(value, (int, float)):
        raise UndecodableError("data.tensor: values must be numbers")
    number = arrays.floats(value)
    return number if number is not None and math.isfinite(number) else None
