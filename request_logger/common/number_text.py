"""Large arrays of numbers that stay text: their shape is known without an object per number.

An image of 100,000 numbers takes 10 ms to parse, as long to write, and 4 MB of memory. Its text can be stored
unchanged, and copied from one version of a document to the next: what decoders need of it (shape, rows, integers as
floats) is found with passes over the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from math import prod
from typing import Any

import msgspec
import numpy as np
import orjson

from request_logger.common.json import JsonText, has_big_integer, loads

# A smaller array, and a row of it, is parsed faster than it is handled as text.
LEAST_BYTES = 8 * 2**10
# A body with more text than this is no body of numbers.
_MOST_QUOTES = 512
# A key's value in the bytes between two quotes; no text that a sender writes has the marker.
_VALUE = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*(?=\[)")
_MARKER = "array 6d6b7f0e2c1f4d0a8f2b3d9c51a7e604"
_SPACE = b" \t\n\r"
_IN_NUMBERS = b"0123456789.eE+-"
# An exponent of three digits may lead beyond the range of a double. An integer part has at most 19 digits.
_GREAT_EXPONENT = re.compile(rb"[eE]\+?[0-9]{3}")
_MAX_RANK = 64
_COMMA, _CLOSE, _POINT, _ZERO, _NINE, _EXPONENT = b",].09e"
_LOWER = 0x20

# It checks the whole text without creating objects.
_check = msgspec.json.Decoder(msgspec.Raw).decode


class NumberText(JsonText):
    """A regular array of finite numbers as JSON text without white space; ``shape`` has no dimension 0."""

    __slots__ = ("shape",)

    def __init__(self, text: bytes, shape: tuple[int, ...]) -> None:
        super().__init__(text)
        self.shape = shape

    @property
    def has_integers(self) -> bool:
        """Whether some numbers have no point (some of them may have an exponent)."""
        return self.text.count(b".") < prod(self.shape)

    def has_large_rows(self, shape: tuple[int, ...] | None = None) -> bool:
        """Return whether each row is worth being kept as text, if the array has a shape (by default its own)."""
        shape = shape or self.shape
        return len(shape) > 1 and len(self.text) >= LEAST_BYTES * shape[0]

    def rows(self) -> list[JsonText]:
        """Return the entries of the first dimension; there must be a second one."""
        if self.shape[0] == 1:
            return [JsonText(self.text[1:-1])]
        ends = b"]" * (len(self.shape) - 1)
        starts = b"[" * (len(self.shape) - 1)
        inner = self.text[1 + len(starts) : -1 - len(ends)].split(ends + b"," + starts)
        return [JsonText(starts + row + ends) for row in inner]

    def as_floats(self) -> NumberText:
        """Return the array with every integer written as a float."""
        if not self.has_integers:
            return self
        text = np.frombuffer(self.text, np.uint8)
        is_edge = (text == _COMMA) | (text == _CLOSE)
        # The byte after each number: an edge after a digit.
        ends = np.flatnonzero(is_edge[1:] & (text[:-1] >= _ZERO) & (text[:-1] <= _NINE)) + 1
        marks = np.cumsum((text == _POINT) | ((text | _LOWER) == _EXPONENT))[ends]
        at = ends[np.diff(marks, prepend=0) == 0]
        counts = np.ones(len(text), np.int8)
        counts[at] = 3
        longer = np.repeat(text, counts)
        at += 2 * np.arange(len(at))
        longer[at], longer[at + 1] = _POINT, _ZERO
        return NumberText(longer.tobytes(), self.shape)

    def are_integers(self) -> bool:
        """Return whether no number has a point or an exponent."""
        return not any(mark in self.text for mark in (b".", b"e", b"E"))

    def reshaped(self, shape: tuple[int, ...]) -> NumberText:
        """Return a flat array nested to a shape, whose product is its length."""
        if len(shape) < 2:
            return self
        text, last = self.text[1:-1], shape[-1]
        commas = np.flatnonzero(np.frombuffer(text, np.uint8) == _COMMA)[last - 1 :: last].tolist()
        starts, ends = [0, *(comma + 1 for comma in commas)], [*commas, len(text)]
        pieces = [text[start:end] for start, end in zip(starts, ends, strict=True)]
        for level, size in enumerate(reversed(shape[:-1]), start=1):
            edge = b"]" * level + b"," + b"[" * level
            pieces = [edge.join(pieces[start : start + size]) for start in range(0, len(pieces), size)]
        depth = len(shape)
        return NumberText(b"%b%b%b" % (b"[" * depth, pieces[0], b"]" * depth), shape)

    def rounded(self, kind: str, shape: tuple[int, ...]) -> NumberText | None:
        """Return the numbers rounded to a type of numpy, nested to a shape; None if one is beyond its range."""
        values = np.array(self.parsed(), np.float64)
        with np.errstate(over="ignore"):
            values = values.astype(kind).astype(np.float64).reshape(shape)
        if not np.isfinite(values).all():
            return None
        return NumberText(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY), shape)


def cut(raw: bytes) -> tuple[bytes, NumberText] | None:
    """Return a body with a text in place of its largest array of numbers, and the array; None if it has no large one.

    The array must be the value of a key, regular, and valid JSON that can be stored. `put` puts it in its place again.
    """
    parts = _split(raw)
    if parts is None:
        return None
    largest = max(range(2, len(parts), 2), key=lambda number: len(parts[number]), default=0)
    array = _cut_from(parts, largest, _MARKER, _array) if largest else None
    return (b'"'.join(parts), array) if isinstance(array, NumberText) else None


def loads_keeping(raw: bytes, kept: Collection[str]) -> Any:
    """Parse a JSON object as `request_logger.common.json.loads` does; large arrays stay text in some of its fields.

    ``kept`` are the names of these fields. In them each large array without text and objects that is the value of a
    key, at any depth, becomes a JsonText. ``raw`` must be valid JSON.
    """
    parts = _split(raw)
    if parts is None:
        return loads(raw)
    arrays: dict[str, JsonText] = {}
    for number in range(2, len(parts), 2):
        marker = f"{_MARKER} {number}"
        array = _cut_from(parts, number, marker, _balanced)
        if array is not None:
            arrays[marker] = array
    value = loads(b'"'.join(parts)) if arrays else None
    if not isinstance(value, dict):
        return loads(raw)
    return {name: _filled(entry, arrays, as_text=name in kept) for name, entry in value.items()}


def _filled(value: Any, arrays: Mapping[str, JsonText], *, as_text: bool) -> Any:
    if type(value) is str:
        array = arrays.get(value)
        return value if array is None else array if as_text else array.parsed()
    if type(value) is dict:
        return {name: _filled(entry, arrays, as_text=as_text) for name, entry in value.items()}
    if type(value) is list:
        return [_filled(entry, arrays, as_text=as_text) for entry in value]
    return value


def _split(raw: bytes) -> list[bytes] | None:
    """Return the parts of a large JSON text between its quotes, every second of which is a string; None if unusual."""
    if len(raw) < LEAST_BYTES or b"\\" in raw:
        return None
    parts = raw.split(b'"', _MOST_QUOTES)
    is_whole = len(parts) <= _MOST_QUOTES and len(parts) % 2 == 1
    return parts if is_whole and _MARKER.encode() not in raw else None


def _cut_from(
    parts: list[bytes], number: int, marker: str, read: Callable[[bytes], JsonText | None]
) -> JsonText | None:
    """Replace the array in a part by a marker, and return it; None if the part has no large one after its colon."""
    part = parts[number]
    match = _VALUE.match(part)
    if match is None or len(part) < LEAST_BYTES:
        return None
    start = match.end()
    braces = [at for at in (part.find(b"{", start), part.find(b"}", start)) if at >= 0]
    text = part[start : min(braces, default=len(part))].rstrip(_SPACE + b",")
    array = read(text)
    if array is not None:
        parts[number] = b'%b"%b"%b' % (part[:start], marker.encode(), part[start + len(text) :])
    return array


def put(value: Any, array: NumberText) -> bool:
    """Put an array in the place of the text in a body's parsed JSON, if it is the place of a protocol for its values.

    Return whether it was.
    """
    for holder, key in _places(value):
        if holder.get(key) == _MARKER:
            holder[key] = array
            return True
    return False


def _places(body: Any) -> list[tuple[dict[str, Any], str]]:
    """Return the places for rows in the bodies of TensorFlow, Seldon (ndarray, tensor) and V2 (a single tensor)."""
    if not isinstance(body, dict):
        return []
    places = [(body, key) for key in ("instances", "predictions", "inputs", "outputs")]
    data = body.get("data")
    if isinstance(data, dict):
        places.append((data, "ndarray"))
        if isinstance(data.get("tensor"), dict):
            places.append((data["tensor"], "values"))
    for key in ("inputs", "outputs"):
        tensors = body.get(key)
        if isinstance(tensors, list) and len(tensors) == 1 and isinstance(tensors[0], dict):
            places.append((tensors[0], "data"))
    return places


def _balanced(text: bytes) -> JsonText | None:
    """Return an array of a valid JSON object; None if the text ends within it."""
    return JsonText(text) if text.count(b"[") == text.count(b"]") else None


def _array(text: bytes) -> NumberText | None:
    compact = (
        text.translate(None, _SPACE) if any(text.find(space) >= 0 for space in (b" ", b"\n", b"\t", b"\r")) else text
    )
    structure = compact.translate(None, _IN_NUMBERS)
    shape = _shape_of(structure)
    if shape is None or len(shape) > _MAX_RANK or has_big_integer(compact):
        return None
    if b"[]" in structure:
        return None
    if (b"e" in compact or b"E" in compact) and _GREAT_EXPONENT.search(compact):
        return None
    try:
        # The text with its white space: numbers must not become one by leaving it out.
        _check(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    array = NumberText(compact, shape)
    # As an integer, -0 has no sign, which the float has.
    return None if array.has_integers and (b"-0," in compact or b"-0]" in compact) else array


def _shape_of(structure: bytes) -> tuple[int, ...] | None:
    """Return the shape of an array from its brackets and commas; None if it is ragged, or has anything else."""
    rank = len(structure) - len(structure.lstrip(b"["))
    end = structure.find(b"]")
    if not rank or end < 0:
        return None
    sizes = [end - rank + 1]
    unit = structure[rank - 1 : end + 1]
    if unit != b"[%b]" % (b"," * (sizes[0] - 1)):
        return None
    for start in range(rank - 1, 0, -1):
        # The first of these is at the end of the first entry of this level; if not, the comparison below fails.
        last = structure.find(unit + b"]", start)
        if last < 0:
            return None
        sizes.append((last - start) // (len(unit) + 1) + 1)
        if sizes[-1] * len(unit) > len(structure):
            return None
        unit = b"[%b]" % b",".join([unit] * sizes[-1])
    return tuple(reversed(sizes)) if unit == structure else None
