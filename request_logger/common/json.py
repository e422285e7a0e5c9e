"""Parses and serialises JSON: with orjson, and with the standard library for the values that orjson refuses.

Only JSON is stored that orjson, the search engines' parser (Jackson) and this module can read back. The constants below
are its limits; a number without a finite double is kept as text. `dumps` accepts any Python value and never raises;
`loads` accepts any JSON text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Set
from datetime import date, time
from decimal import Decimal
from enum import Enum
from itertools import islice
from numbers import Real
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from request_logger.common import json_scan
from request_logger.common.guard import reraise_if_killed

# orjson writes 254 levels, the search engines read 500 (OpenSearch) or 1,000; a document adds a few levels.
MAX_DEPTH = 200
# Search engines refuse a longer field name, and with it the whole _bulk.
MAX_KEY_CHARACTERS = 50_000
# Jackson's default limit for one string is 20 million characters, the search engines set 50 million.
MAX_TEXT_CHARACTERS = 20_000_000
# Digits of the greatest double. A longer integer has no double, and orjson can't read it. Jackson's limit is 1,000
# digits, CPython's 4,300.
MAX_INTEGER_DIGITS = 309

# The maximum depth of `plain`: orjson's limit is 254, and each level takes two of CPython's 1,000 frames.
_MAX_PLAIN_DEPTH = 220
# The maximum number of entries that `plain` reads from a mapping that isn't a dict, which may be infinite.
_MAX_ENTRIES = 1_000_000

# orjson turns integers beyond 64 bits into floats. To find them, digits (and the minus sign) are translated to `d`, and
# the characters that can precede a number to `,`: two passes at memory speed, while a regular expression costs more
# than the parse. A number inside a string is found, too, which only causes a slower parse.
_NUMBER_SHAPES = bytes(
    ord("d") if chr(code) in "0123456789-" else ord(",") if chr(code) in "[,: \n\t\r" else code for code in range(256)
)
_BIG_INTEGER = b"," + b"d" * 20
# From this size on numpy is faster than passes over the bytes, in spite of its fixed cost of some microseconds.
_VECTOR_BYTES = 8 * 2**10
_WORD = 8
# An integer of twenty characters that ends after the last whole word is within so many bytes of the end.
_END_BYTES = 20 + _WORD
_ALL_TRUE = np.uint64(0x0101_0101_0101_0101)


_SCALARS = frozenset({str, int, float, bool, type(None)})


class UnstorableNumber(str):
    """The text of a number that has no finite double: its digits, ``NaN``, ``Infinity`` or ``-Infinity``."""

    __slots__ = ()


class JsonText:
    """A JSON value as its text (UTF-8), which must be valid JSON. It equals what it is parsed to.

    `dumps` copies the text. Everything else that needs the value calls `parsed` or `all_parsed`.
    """

    __slots__ = ("_text",)

    def __init__(self, text: bytes) -> None:
        self._text = text

    @property
    def text(self) -> bytes:
        """The text."""
        return self._text

    def fragment(self) -> Any:
        """Return what orjson writes as the text."""
        return orjson.Fragment(self._text)

    def parsed(self) -> Any:
        """Return the value: parsed again at each call."""
        return loads(self.text)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, JsonText):
            # The same number may be written in several ways.
            return self.text == other.text or bool(self.parsed() == other.parsed())
        return bool(self.parsed() == other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"JsonText({len(self.text)} bytes)"


def all_parsed(value: Any) -> Any:
    """Return a JSON value without `JsonText` at any depth; unchanged objects and lists may be shared."""
    if isinstance(value, JsonText):
        return value.parsed()
    if type(value) is dict:
        return {name: all_parsed(entry) for name, entry in value.items()}
    if type(value) is list and not _SCALARS.issuperset(map(type, value)):
        return [all_parsed(entry) for entry in value]
    return value


def copied(value: Any) -> Any:
    """Return a copy of a JSON value, for code that may modify what it is given."""
    if type(value) is dict:
        return {name: copied(entry) for name, entry in value.items()}
    if type(value) is list:
        return list(value) if _SCALARS.issuperset(map(type, value)) else list(map(copied, value))
    return value


def dumps(value: Any, *, sort_keys: bool = False) -> bytes:
    """Serialise any value to UTF-8 JSON. Never raises.

    Numbers that are not finite become null, lone surrogates question marks; a `JsonText` is copied; other types are
    converted by `plain`.
    """
    options = orjson.OPT_SORT_KEYS if sort_keys else 0
    try:
        return orjson.dumps(value, _fragment, options)
    except Exception:
        return _dumps_any(value, options, sort_keys=sort_keys)


def _dumps_any(value: Any, options: int, *, sort_keys: bool) -> bytes:
    try:
        # An own attempt, since with this option all objects take twice as long.
        return orjson.dumps(value, _fragment, options | orjson.OPT_NON_STR_KEYS)
    except Exception:  # an integer beyond 64 bits, a lone surrogate, an object of user code
        return json.dumps(plain(value), ensure_ascii=False, sort_keys=sort_keys).encode("utf-8", "replace")


def _fragment(value: Any) -> Any:
    if isinstance(value, JsonText):
        return value.fragment()
    raise TypeError


def as_object(value: Any) -> dict[str, Any]:
    """Return a parsed value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def loads(raw: bytes | str) -> Any:
    """Parse JSON. Raises json.JSONDecodeError (orjson's is a subclass).

    A number without a finite double, which other programs may have stored, becomes text: its digits or ``"Infinity"``.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        try:
            return _as_text(parse_leniently(raw))
        except (ValueError, RecursionError):
            raise error from None
    # orjson turns an integer beyond 64 bits into a float; a document that is read and written again must not change.
    return _as_text(parse_leniently(raw)) if has_big_integer(raw) else value


def has_big_integer(raw: bytes | bytearray | str) -> bool:
    """Return whether JSON may have an integer beyond 64 bits, which orjson rounds and `parse_leniently` keeps exact."""
    raw = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    if len(raw) >= _VECTOR_BYTES and not _has_word_of_digits(raw):
        return False
    return _BIG_INTEGER in raw.translate(_NUMBER_SHAPES)


def _has_word_of_digits(raw: bytes | bytearray) -> bool:
    """Return whether eight digits fill an aligned word. Fifteen digits in a row always do; those in text seldom.

    The end of the text, after its last whole word, has to be looked at as well.
    """
    # Of twenty digits in a row, two are first bytes of words that follow each other: text seldom has these.
    is_first = np.frombuffer(raw, np.uint8)[::_WORD] - np.uint8(ord("0")) < 10
    if not (is_first[:-1] & is_first[1:]).any():
        return False
    for _, piece in json_scan.pieces(raw):
        is_digit = piece[: len(piece) // _WORD * _WORD] - np.uint8(ord("0")) < 10
        if (is_digit.view(np.uint64) == _ALL_TRUE).any():
            return True
    return _BIG_INTEGER[1:] in raw[-_END_BYTES:].translate(_NUMBER_SHAPES)


def parse_leniently(raw: bytes | bytearray | str) -> Any:
    """Parse JSON with the standard library: accepts NaN literals, and keeps integers exact.

    A number without a finite double becomes an `UnstorableNumber`; longer integers are never computed, so the time is
    linear. Raises ValueError if the text isn't JSON, RecursionError for about 1,000 levels and more.
    """
    return json.loads(raw, parse_int=_integer, parse_float=_float, parse_constant=UnstorableNumber)


def _integer(digits: str) -> int | UnstorableNumber:
    # One more for the minus sign.
    number = int(digits) if len(digits) <= MAX_INTEGER_DIGITS + 1 else None
    return number if number is not None and has_double(number) else UnstorableNumber(digits)


def _float(text: str) -> float | UnstorableNumber:
    number = float(text)
    return number if math.isfinite(number) else UnstorableNumber("Infinity" if number > 0 else "-Infinity")


def has_double(number: int) -> bool:
    """Return whether an integer is within the range of a double."""
    try:
        float(number)
    except OverflowError:
        return False
    return True


def _as_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_text(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _as_text(entry) for key, entry in value.items()}
    return str(value) if isinstance(value, UnstorableNumber) else value


def literal(value: Any) -> bytes:
    """Serialise a parsed value to equivalent JSON: each `UnstorableNumber` becomes a number again, at any depth."""
    try:
        return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
    except TypeError:
        return "".join(_pieces(value)).encode()


class _Piece(str):
    """Text that is part of the result as it is."""

    __slots__ = ()


def _pieces(value: Any) -> Iterator[str]:
    """Yield the text of a value in pieces. Uses an explicit stack, since a sender's nesting is unbounded."""
    waiting: list[Any] = [value]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, (_Piece, UnstorableNumber)):
            yield entry
        elif isinstance(entry, dict):
            waiting.append(_Piece("}"))
            for position, (key, inner) in enumerate(reversed(entry.items())):
                comma = "," if position < len(entry) - 1 else ""
                waiting += (inner, _Piece(f"{comma}{json.dumps(key)}:"))
            waiting.append(_Piece("{"))
        elif isinstance(entry, list):
            waiting.append(_Piece("]"))
            for position, inner in enumerate(reversed(entry)):
                waiting.append(inner)
                if position < len(entry) - 1:
                    waiting.append(_Piece(","))
            waiting.append(_Piece("["))
        else:
            yield json.dumps(entry)


def plain(value: Any) -> Any:
    """Return a copy of any Python value that consists of JSON types only. Never raises.

    numpy scalars and arrays become numbers and lists; tuples and sets (sorted) lists; mappings objects with text keys;
    Decimals and fractions numbers; bytes, dates and UUIDs text; Enum members their values. Numbers without a finite
    double become None. Any other object becomes the name of its type (``"<Foo>"``), since its own text could contain
    anything, and could raise; so does a value that contains itself, or is nested too deeply.
    """
    return _plain(value, ())


def _plain(value: Any, above: tuple[int, ...]) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    try:
        if isinstance(value, (dict, list, tuple, Mapping, Set)):
            if id(value) in above or len(above) >= _MAX_PLAIN_DEPTH:
                return _named(value)
            return _container(value, (*above, id(value)))
        return _scalar(value, above)
    except BaseException as error:  # of an object of user code
        reraise_if_killed(error)
        return _named(value)


def _container(value: Any, above: tuple[int, ...]) -> Any:
    # Calls the methods of dict, list and tuple themselves: a subclass could override them with anything.
    if isinstance(value, Mapping):
        found = {}
        for key, entry in dict.items(value) if isinstance(value, dict) else islice(value.items(), _MAX_ENTRIES):
            found[_key(key)] = _plain(entry, above)
        return found
    listed: list[Any] = []
    if isinstance(value, Set):
        for entry in islice(value, _MAX_ENTRIES):
            listed.append(_plain(entry, above))
        try:
            return sorted(listed)
        except TypeError:
            return sorted(listed, key=dumps)
    for entry in list.__iter__(value) if isinstance(value, list) else tuple.__iter__(value):
        listed.append(_plain(entry, above))
    return listed


def _scalar(value: Any, above: tuple[int, ...]) -> Any:
    # A subclass of a number or of text becomes the number or the text.
    if isinstance(value, Enum):
        return _named(value) if isinstance(value.value, Enum) else _plain(value.value, above)
    if isinstance(value, int):
        number = int.__add__(value, 0)
        return number if has_double(number) else None
    if isinstance(value, float):
        return _finite(float.__add__(value, 0.0))
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Decimal) and not value.is_finite():
        return None
    if isinstance(value, (Decimal, Real)):
        whole = getattr(value, "__index__", None)
        return _finite(float(value)) if whole is None else _plain(int(whole()), above)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, JsonText):
        return _plain(value.parsed(), above)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        # For arrays, numpy's booleans and text. Some types, such as complex numbers, are returned unchanged.
        listed = value.tolist()
        return _named(value) if type(listed) is type(value) else _plain(listed, above)
    return _named(value)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, (bool, int, float)):
        return dumps(key).decode()
    found = _plain(key, ())
    return found if isinstance(found, str) else dumps(found).decode()


def _named(value: Any) -> str:
    return f"<{type(value).__qualname__[:100]}>"
