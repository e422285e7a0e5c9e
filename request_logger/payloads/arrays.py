"""Rows of nested lists: their shape, kind, names and floats, shared by the decoders.

Works level by level with the fast builtins (``set(map(type, ...))``, ``chain``), so that a single row costs a few
microseconds and an image of 3,072 numbers well under a millisecond, without numpy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from math import prod
from typing import Any

from request_logger.payloads.base import DataType, Decoded, Item, UndecodableError

NUMERIC = frozenset({int, float, bool, type(None)})
_NO_INTS = frozenset({float, bool, str, type(None)})
_PLAIN_NUMBERS = frozenset({int, float})
_NUMBERS_AND_TEXT = NUMERIC | {str}
_NOT_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})
_INTEGER = re.compile(r"-?\d+(?:\.0*)?")
_MAX_RANK = 64

# Fields of a document's part that are the program's own: a body's field of such a name stays in the payload only.
RESERVED = frozenset({"payload", "instance", "elements", "dataType", "rows", "ce-time", "ce-source", "received-time"})
# What is a Seldon message's own stays there, too, in a body of another protocol.
_SELDON = frozenset({"data", "strData", "jsonData", "binData"})


@dataclass(slots=True)
class Survey:
    """What an array looks like: ``shape`` (None where it is ragged) and, where it isn't, its flat ``leaves``."""

    shape: tuple[int, ...] | None
    leaves: list[Any]
    kinds: frozenset[type]


def survey(array: Any) -> Survey:
    """Find shape, leaves and leaf types of a nested list. A value that is no list has the shape ``()``."""
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
    """Nest a flat list. The product of ``shape`` must be ``len(flat)`` and no dimension 0."""
    if not shape:
        return flat[0]
    for size in reversed(shape[1:]):
        flat = [flat[i : i + size] for i in range(0, len(flat), size)]
    return flat


def resolve_shape(shape: Any, count: int, what: str) -> tuple[int, ...]:
    """Check a shape that came with a body against the number of values.

    One dimension may be -1 (the rest). ``what`` names the tensor in the error.
    Raises UndecodableError where the values don't fill the shape, or there are none.
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
    """BulkTokens every integer into a float, at any depth, as protobuf's Value does (booleans stay booleans).

    Lists that hold none are returned as they are. An integer beyond the range of a double becomes None.
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
    """:func:`floats` for the flat leaves of an array whose types are known."""
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
    """Read ``names`` of a body: a list of text, empty where it came so, None where there are none."""
    if not isinstance(names, list):
        return [str(names)] if names else None
    return [name if type(name) is str else str(name) for name in names]


def elements(row: Any, names: list[str]) -> dict[str, Any] | None:
    """Give each column of a row its name; the last of a repeated name wins, the longer side's rest is unnamed.

    A row of a single value takes a single name: of several it can't be known which is meant.
    """
    if type(row) is list:
        return dict(zip(names, row, strict=False))
    return {names[0]: row} if len(names) == 1 else None


def items(rows: list[Any], names: list[str] | None) -> list[Item]:
    """Return the items of rows.

    Rows of a single value, also as lists of one, take none of several names that are integers: ``[[2]]`` with the
    names 0, 1 and 2 is the label 2 of a classifier, not a value of the class 0.
    """
    if not names:
        return list(map(Item, rows))
    if len(names) > 1 and _are_integers(names) and all(type(row) is list and len(row) == 1 for row in rows):
        return list(map(Item, rows))
    if set(map(type, rows)) == {list}:
        # `elements` of each row without a Python call a row: it is half of the time of a large batch.
        return list(map(Item, rows, map(dict, map(zip, repeat(names), rows))))
    return list(map(Item, rows, map(elements, rows, repeat(names))))


def _are_integers(names: list[str]) -> bool:
    return all(map(_INTEGER.fullmatch, names))


def without_markers(array: Any) -> tuple[Any, Survey]:
    """Return an array and its survey with None for the text that stands for a number that is not finite.

    Stored payloads have ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` for what JSON can't keep, and senders write
    them too; in an array with other text they are text.
    """
    found = survey(array)
    if str in found.kinds and found.kinds <= _NUMBERS_AND_TEXT:
        leaves = [None if leaf in _NOT_FINITE else leaf for leaf in found.leaves]
        kinds = frozenset(map(type, leaves))
        if str not in kinds:
            return reshape(leaves, found.shape or ()), Survey(found.shape, leaves, kinds)
    return array, found


def rows_of(array: Any, names: Any, what: str, fields: dict[str, Any], *, as_floats: bool) -> Decoded:
    """Decode an array whose first dimension is the batch; a value that is no list is a batch of one.

    ``as_floats`` turns integers into floats. Raises UndecodableError for an array with no rows.
    """
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


def other_fields(body: dict[str, Any], *taken: str) -> dict[str, Any]:
    """Return the fields of a body that go to the top of the document's part: not ``taken``, not our own."""
    if len(body) == 1:
        return {}
    out = RESERVED | _SELDON | frozenset(taken)
    fields = {key: value for key, value in body.items() if key not in out}
    data = body.get("data")
    if isinstance(data, dict) and "names" in data:
        fields["names"] = data["names"]
    return fields
