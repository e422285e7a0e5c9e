"""Large arrays of numbers that stay text: their shape is known without an object per number.

An image of 100,000 numbers takes 10 ms to parse, as long to write, and 4 MB of memory. Its text can be stored
unchanged, and copied from one version of a document to the next: what decoders need of it (shape, rows, integers as
floats) is found with passes over the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from math import prod
from typing import Any, TypeVar

import msgspec
import numpy as np
import orjson

from request_logger.common.json import JsonText, has_big_integer, loads
from request_logger.common.json_scan import counted, positions

# A smaller array is parsed faster than it is handled as text, and so is a smaller row of a large one.
LEAST_BYTES = 8 * 2**10
LEAST_ROW_BYTES = 2**10
# A body with more text than this isn't a body of numbers.
_MOST_QUOTES = 512
# A key's value in the bytes between two quotes; no text that a sender writes has the marker.
_VALUE = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*(?=\[)")
_MARKER = "array 6d6b7f0e2c1f4d0a8f2b3d9c51a7e604"
_SPACE = b" \t\n\r"
_IN_NUMBERS = b"0123456789.eE+-"
# An exponent of three digits may lead beyond the range of a double. An integer part has at most 19 digits.
_GREAT_EXPONENT = re.compile(rb"[eE]\+?[0-9]{3}")
_MINUS_ZERO = re.compile(rb"-0[],]")
_MAX_RANK = 64
_COMMA, _CLOSE, _POINT, _ZERO, _EXPONENT, _QUOTE = b',].0e"'
_AFTER = _SPACE + b","
_LOWER = 0x20
# Parsed at once: what is parsed of it fits into the processor's cache.
_PIECE_BYTES = 64 * 2**10

_Text = TypeVar("_Text", bound=JsonText)

# It checks the whole text without creating objects.
_check = msgspec.json.Decoder(msgspec.Raw).decode


class NumberText(JsonText):
    """A regular array of finite numbers as JSON text without white space.

    ``shape`` has no dimension 0. ``datatype`` is a V2 datatype whose values all numbers are, empty if that isn't known.
    """

    __slots__ = ("_has_integers", "_row", "datatype", "shape")

    def __init__(self, text: bytes, shape: tuple[int, ...], datatype: str = "") -> None:
        super().__init__(text)
        self.shape = shape
        self.datatype = datatype
        self._has_integers: bool | None = None
        self._row: JsonText | None = None

    @property
    def text(self) -> bytes:
        """The text."""
        return self._text if self._row is None else b"[%b]" % self._row.text

    def fragment(self) -> Any:
        """Return what orjson writes as the text."""
        return super().fragment() if self._row is None else [self._row.fragment()]

    @property
    def has_integers(self) -> bool:
        """Whether some numbers have no point (some of them may have an exponent)."""
        if self._has_integers is None:
            self._has_integers = counted(self.text, b".")[0] < prod(self.shape)
        return self._has_integers

    def has_large_rows(self, shape: tuple[int, ...] | None = None) -> bool:
        """Return whether each row is worth being kept as text, if the array has a shape (by default its own)."""
        shape = shape or self.shape
        return len(shape) > 1 and prod(shape[1:]) > 1 and len(self._text) >= LEAST_ROW_BYTES * shape[0]

    def rows(self) -> list[JsonText]:
        """Return the entries of the first dimension; there must be a second one."""
        if self.shape[0] == 1:
            if self._row is None:
                # From now on it holds its only row, whose text would otherwise be in memory twice.
                self._row, self._text = JsonText(self._text[1:-1]), b""
            return [self._row]
        ends = b"]" * (len(self.shape) - 1)
        starts = b"[" * (len(self.shape) - 1)
        inner = self._text[1 + len(starts) : -1 - len(ends)].split(ends + b"," + starts)
        return [JsonText(starts + row + ends) for row in inner]

    def as_floats(self) -> NumberText:
        """Return the array with every integer written as a float."""
        if not self.has_integers:
            return self
        text = np.frombuffer(self.text, np.uint8)
        is_digit = text - np.uint8(_ZERO) < 10
        ends = np.flatnonzero(is_digit[:-1] & ((text[1:] == _COMMA) | (text[1:] == _CLOSE))) + 1
        is_mark = (text == _POINT) | ((text | _LOWER) == _EXPONENT)
        if is_mark.any():
            marks = np.cumsum(is_mark, dtype=np.int32)[ends]
            ends = ends[np.diff(marks, prepend=np.int32(0)) == 0]
        at = ends + 2 * np.arange(len(ends))
        is_kept = np.ones(len(text) + 2 * len(at), np.bool_)
        is_kept[at] = is_kept[at + 1] = False
        longer = np.empty(len(is_kept), np.uint8)
        longer[is_kept] = text
        longer[at], longer[at + 1] = _POINT, _ZERO
        return NumberText(longer.tobytes(), self.shape)

    def are_integers(self) -> bool:
        """Return whether no number has a point or an exponent."""
        return not any(mark in self.text for mark in (b".", b"e", b"E"))

    def reshaped(self, shape: tuple[int, ...]) -> NumberText:
        """Return a flat array nested to a shape, whose product is its length."""
        if len(shape) < 2:
            return self
        if len(shape) == 2 and shape[0] == 1:
            return self._as_row(shape)
        text, last = self.text[1:-1], shape[-1]
        commas = np.flatnonzero(np.frombuffer(text, np.uint8) == _COMMA)[last - 1 :: last].tolist()
        starts, ends = [0, *(comma + 1 for comma in commas)], [*commas, len(text)]
        pieces = [text[start:end] for start, end in zip(starts, ends, strict=True)]
        for level, size in enumerate(reversed(shape[:-1]), start=1):
            edge = b"]" * level + b"," + b"[" * level
            pieces = [edge.join(pieces[start : start + size]) for start in range(0, len(pieces), size)]
        depth = len(shape)
        return NumberText(b"%b%b%b" % (b"[" * depth, pieces[0], b"]" * depth), shape)

    def _as_row(self, shape: tuple[int, ...]) -> NumberText:
        """Return the array as the only row of another one, without copying its text."""
        whole = NumberText(b"", shape)
        whole._row = JsonText(self.text)
        return whole

    def rounded(self, kind: str, shape: tuple[int, ...]) -> NumberText | None:
        """Return the numbers rounded to a type of numpy, nested to a shape; None if one is beyond its range."""
        values = np.empty(prod(self.shape), np.float64)
        count = 0
        with np.errstate(over="ignore"):
            for piece in self._in_pieces():
                values[count : count + len(piece)] = np.array(piece, np.float64).astype(kind)
                count += len(piece)
        return of_values(values.reshape(shape)) if np.isfinite(values).all() else None

    def _in_pieces(self) -> Iterator[list[Any]]:
        """Yield all numbers, some thousands at a time: as objects they take several times the memory of the text."""
        flat = self.text.translate(None, b"[]")
        start = 0
        while start < len(flat):
            end = flat.find(b",", start + _PIECE_BYTES)
            end = len(flat) if end < 0 else end
            yield loads(b"[%b]" % flat[start:end])
            start = end + 1


def of_values(values: np.ndarray[Any, Any], datatype: str = "") -> NumberText:
    """Return an array of finite doubles, or of integers within 64 bits, as text."""
    return NumberText(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY), values.shape, datatype)


def cut(raw: bytes) -> tuple[bytes, dict[str, NumberText]] | None:
    """Return a body with texts in place of its large arrays of numbers, and the arrays by these; None if it has none.

    The arrays must be values of keys, regular, and valid JSON that can be stored. `put` puts them in their places.
    """
    return _cut(raw, _array)


def loads_keeping(raw: bytes, kept: Collection[str]) -> Any:
    """Parse a JSON object as `request_logger.common.json.loads` does; large arrays stay text in some of its fields.

    ``kept`` are the names of these fields. In them each large array without text and objects that is the value of a
    key, at any depth, becomes a JsonText. ``raw`` must be valid JSON.
    """
    found = _cut(raw, _balanced)
    value = loads(found[0]) if found is not None else None
    if found is None or not isinstance(value, dict):
        return loads(raw)
    return {name: _filled(entry, found[1], as_text=name in kept) for name, entry in value.items()}


def _filled(value: Any, arrays: Mapping[str, JsonText], *, as_text: bool) -> Any:
    if type(value) is str:
        array = arrays.get(value)
        return value if array is None else array if as_text else array.parsed()
    if type(value) is dict:
        return {name: _filled(entry, arrays, as_text=as_text) for name, entry in value.items()}
    if type(value) is list:
        return [_filled(entry, arrays, as_text=as_text) for entry in value]
    return value


def _cut(raw: bytes, read: Callable[[bytes], _Text | None]) -> tuple[bytes, dict[str, _Text]] | None:
    """Return a JSON text with texts in place of the large arrays that ``read`` accepts; None if it has none."""
    if len(raw) < LEAST_BYTES or b"\\" in raw:
        return None
    quotes = positions(raw, _QUOTE, _MOST_QUOTES)
    if not quotes or len(quotes) % 2:
        return None
    parts: list[bytes] = []
    arrays: dict[str, _Text] = {}
    copied = 0
    # What is between the end of a string and the beginning of the next one.
    for end, start in zip(quotes[1::2], [*quotes[2::2], len(raw)], strict=True):
        span = _array_within(raw, end + 1, start)
        array = read(raw[slice(*span)]) if span is not None else None
        if span is not None and array is not None:
            marker = f"{_MARKER} {len(arrays)}"
            arrays[marker] = array
            parts += (raw[copied : span[0]], b'"%b"' % marker.encode())
            copied = span[1]
    strings = zip(quotes[0::2], quotes[1::2], strict=True)
    if not arrays or any(_MARKER.encode() in raw[start:end] for start, end in strings):
        return None
    return b"".join((*parts, raw[copied:])), arrays


def _array_within(raw: bytes, start: int, end: int) -> tuple[int, int] | None:
    """Return where a large array begins and ends that follows a key; what is returned may have more than the array."""
    match = _VALUE.match(raw, start, end) if end - start >= LEAST_BYTES else None
    if match is None:
        return None
    first = match.end()
    braces = [at for at in (raw.find(b"{", first, end), raw.find(b"}", first, end)) if at >= 0]
    last = min(braces, default=end)
    while raw[last - 1] in _AFTER:
        last -= 1
    return (first, last) if last - first >= LEAST_BYTES else None


def put(value: Any, arrays: Mapping[str, NumberText]) -> bool:
    """Put arrays in the places of their texts in a body's parsed JSON, if these are places of a protocol for values.

    Return whether all were.
    """
    count = 0
    for holder, key in _places(value):
        found = holder.get(key)
        array = arrays.get(found) if type(found) is str else None
        if array is not None:
            holder[key] = array
            count += 1
    return count == len(arrays)


def _places(body: Any) -> list[tuple[dict[str, Any], str]]:
    """Return the places for rows in the bodies of TensorFlow, Seldon (ndarray, tensor) and V2."""
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
        if isinstance(tensors, list):
            places += ((tensor, "data") for tensor in tensors if isinstance(tensor, dict))
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
    return None if array.has_integers and b"-" in compact and _MINUS_ZERO.search(compact) else array


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
