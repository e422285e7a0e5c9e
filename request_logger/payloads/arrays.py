"""Helpers for rows of nested lists, shared by the decoders: shape, kind, names and floats.

Works level by level with fast builtins (``set(map(type, ...))``, ``chain``) instead of numpy: a single row costs a few
microseconds, an image of 3,072 numbers well under a millisecond.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from math import prod
from typing import Any

from request_logger.common.number_text import NumberText
from request_logger.payloads.base import DataType, Decoded, Item, UndecodableError

NUMERIC = frozenset({int, float, bool, type(None)})
_NO_INTS = frozenset({float, bool, str, type(None)})
_PLAIN_NUMBERS = frozenset({int, float})
_FLOATS: frozenset[type] = frozenset({float})
_TEXTS = frozenset({str})
_NUMBERS_AND_TEXT = NUMERIC | {str}
_NOT_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})
_INTEGER = re.compile(r"-?\d+(?:\.0*)?")
_MAX_RANK = 64

# Fields of a document's part that the logger sets itself: a body's field with such a name is kept in the payload only.
RESERVED = frozenset({"payload", "instance", "elements", "dataType", "rows", "ce-time", "ce-source", "received-time"})
# So is a field of a Seldon message in a body of another protocol.
_SELDON = frozenset({"data", "strData", "jsonData", "binData"})


@dataclass(slots=True)
class Survey:
    """The structure of an array: ``shape`` (None if ragged), flat ``leaves`` (empty if ragged) and their types."""

    shape: tuple[int, ...] | None
    leaves: list[Any]
    kinds: frozenset[type]


def survey(array: Any) -> Survey:
    """Return shape, leaves and leaf types of a nested list. A value that isn't a list has the shape ``()``."""
    shape: list[int] = []
    level = [array]
    while True:
        kinds = frozenset(map(type, level))
        if list not in kinds:
            return Survey(tuple(shape), level, kinds)
        if len(kinds) > 1:
            return Survey(None, [], kinds)
        lengths = set(map(len, level))
        if len(lengths) > 1:
            return Survey(None, [], kinds)
        shape.append(lengths.pop())
        level = list(chain.from_iterable(level))


def reshape(flat: list[Any], shape: Sequence[int]) -> Any:
    """Return a flat list nested to a shape. The product of ``shape`` must be ``len(flat)``, and no dimension 0."""
    if not shape:
        return flat[0]
    for size in reversed(shape[1:]):
        flat = [flat[i : i + size] for i in range(0, len(flat), size)]
    return flat


def resolve_shape(shape: Any, count: int, what: str) -> tuple[int, ...]:
    """Return a body's shape, checked against the number of values.

    One dimension may be -1 (the rest). ``what`` names the tensor in errors. Raises UndecodableError if the values don't
    fill the shape, or there are none.
    """
    if not isinstance(shape, list) or any(type(size) is not int for size in shape):
        raise UndecodableError(f"{what}: shape must be a list of integers")
    if len(shape) > _MAX_RANK:
        raise UndecodableError(f"{what}: more than {_MAX_RANK} dimensions")
    known = prod(size for size in shape if size != -1)
    if known > 0 and shape.count(-1) == 1 and count % known == 0:
        shape = [count // known if size == -1 else size for size in shape]
    if any(size < 0 for size in shape) or prod(shape) != count:
        raise UndecodableError(f"{what}: shape {shape[:8]} does not fit {count} values")
    if count == 0:
        raise UndecodableError(f"{what}: no values")
    return tuple(shape)


def floats(value: Any) -> Any:
    """Return a value with every integer, at any depth, as a float, like protobuf's Value (booleans are kept).

    Lists without integers are returned unchanged. An integer beyond the range of a double becomes None.
    """
    kind = type(value)
    if kind is int:
        return _float(value)
    if kind is dict:
        return {key: floats(entry) for key, entry in value.items()}
    if kind is list:
        kinds = frozenset(map(type, value))
        if kinds <= _NO_INTS:
            return value
        return [floats(entry) for entry in value]
    return value


def float_leaves(leaves: list[Any], kinds: frozenset[type]) -> list[Any]:
    """Return :func:`floats` of the flat leaves of an array, faster since their types are known."""
    if kinds <= _NO_INTS:
        return leaves
    if kinds <= _PLAIN_NUMBERS:
        try:
            return list(map(float, leaves))
        except OverflowError:
            pass
    return [floats(leaf) for leaf in leaves]


def _float(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def data_type(array: Survey) -> DataType:
    """Return the kind of an array of rows: n or n x 1 numbers, n x m and 3-d tables, 4-d images, the rest text."""
    if array.shape is None:
        return "text"
    if len(array.shape) > 3:
        return "image"
    if len(array.shape) == 3 or (len(array.shape) == 2 and array.shape[1] != 1):
        return "tabular"
    return "number" if array.kinds <= NUMERIC else "text"


def column_names(names: Any) -> list[str] | None:
    """Return ``names`` of a body as a list of text, None if there are none."""
    if not isinstance(names, list):
        return [str(names)] if names else None
    return names if _TEXTS.issuperset(map(type, names)) else list(map(str, names))


def elements(row: Any, names: list[str]) -> dict[str, Any] | None:
    """Return the columns of a row by name; the last of a repeated name wins, surplus columns or names are ignored.

    A row that is a single value needs a single name: with several names, the intended one is unknown.
    """
    if type(row) is list:
        return dict(zip(names, row, strict=False))
    return {names[0]: row} if len(names) == 1 else None


def items(rows: list[Any], names: list[str] | None) -> list[Item]:
    """Return the items of rows.

    Rows with a single value, also as lists of one, get no elements if there are several names that are integers:
    ``[[2]]`` with the names 0, 1 and 2 is the label 2 of a classifier, not a value of class 0.
    """
    if not names:
        return list(map(Item, rows))
    if len(names) > 1 and _are_integers(names) and all(type(row) is list and len(row) == 1 for row in rows):
        return list(map(Item, rows))
    if set(map(type, rows)) == {list}:
        # The `elements` of each row without a Python call per row, which took half of the time for a large batch.
        return list(map(Item, rows, map(dict, map(zip, repeat(names), rows))))
    return list(map(Item, rows, map(elements, rows, repeat(names))))


def _are_integers(names: list[str]) -> bool:
    return all(map(_INTEGER.fullmatch, names))


def without_markers(array: Any) -> tuple[Any, Survey]:
    """Return an array and its survey, with None for texts that represent numbers that are not finite.

    Stored payloads have ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` for such numbers, and senders write them, too; in
    an array with other text they are kept as text.
    """
    found = survey(array)
    if str in found.kinds and found.kinds <= _NUMBERS_AND_TEXT:
        leaves = [None if leaf in _NOT_FINITE else leaf for leaf in found.leaves]
        kinds = frozenset(map(type, leaves))
        if str not in kinds:
            return reshape(leaves, found.shape or ()), Survey(found.shape, leaves, kinds)
    return array, found


def rows_of(array: Any, names: Any, what: str, fields: dict[str, Any], *, as_floats: bool) -> Decoded:
    """Return an array, whose first dimension is the batch, as a decoded body; a value that isn't a list is one row.

    ``as_floats`` converts integers to floats. Raises UndecodableError if the array has no rows.
    """
    if isinstance(array, NumberText):
        if array.has_large_rows() and not names:
            return rows_of_text(array.as_floats() if as_floats else array, names, fields)
        array = array.parsed()
    if array == []:
        raise UndecodableError(f"{what}: no rows")
    array, found = without_markers(array)
    rows = array if type(array) is list else [array]
    if as_floats:
        if found.shape is None or 0 in found.shape:
            rows = floats(rows)
        elif not found.kinds <= _NO_INTS:
            rows = reshape(float_leaves(found.leaves, found.kinds), found.shape or (1,))
    known = column_names(names)
    return Decoded(data_type(found), items(rows, known), known, fields)


def rows_of_text(array: NumberText, names: Any, fields: dict[str, Any]) -> Decoded:
    """Return an array's large rows as a decoded body; ``names`` are none, or empty."""
    return Decoded(data_type(survey_of_text(array)), list(map(Item, array.rows())), column_names(names), fields)


def survey_of_text(array: NumberText) -> Survey:
    """Return the survey of an array that is text, without its leaves."""
    return Survey(array.shape, [], _FLOATS)


def other_fields(body: dict[str, Any], *taken: str) -> dict[str, Any]:
    """Return the fields of a body that are stored at the part's top level: without ``taken`` and reserved names."""
    if len(body) == 1:
        return {}
    out = RESERVED | _SELDON | frozenset(taken)
    fields = {key: value for key, value in body.items() if key not in out}
    data = body.get("data")
    if isinstance(data, dict) and "names" in data:
        fields["names"] = data["names"]
    return fields
