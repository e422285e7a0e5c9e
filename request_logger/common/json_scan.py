"""What the limits of JSON depend on, found with passes over the bytes of a text instead of over its values.

A pass takes a twentieth of the time of a parse. It works on pieces that fit into the processor's cache, so that a large
text needs no memory besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

_PIECE_BYTES = 128 * 2**10
# A shorter text is counted faster by bytes.count.
_VECTOR_BYTES = 4 * 2**10
_QUOTE, _BRACE, _CLOSING = b'"{}'
# The codes of brackets and braces differ in one bit.
_TO_BRACE = np.uint8(ord("[") ^ ord("{"))
_SPACE = b" \t\n\r"

_Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def counted(raw: bytes | bytearray, characters: bytes, start: int = 0, end: int | None = None) -> list[int]:
    """Return how often each of some characters occurs in a text, or in a slice of it."""
    end = len(raw) if end is None else end
    if end - start < _VECTOR_BYTES:
        return [raw.count(character, start, end) for character in characters]
    found = [0] * len(characters)
    for _, piece in pieces(raw, start, end):
        for number, character in enumerate(characters):
            found[number] += int(np.count_nonzero(piece == character))
    return found


def weight(raw: bytes | bytearray, weights: Mapping[int, int], start: int = 0, end: int | None = None) -> int:
    """Return the sum of the weights of all characters in a text, or in a slice of it."""
    end = len(raw) if end is None else end
    total = 0
    if end - start < _VECTOR_BYTES:
        # This runs for every event.
        for character, each in weights.items():
            total += each * raw.count(character, start, end)
        return total
    for each, count in zip(weights.values(), counted(raw, bytes(weights), start, end), strict=True):
        total += each * count
    return total


def is_deeper(raw: bytes, depth: int) -> bool:
    """Return whether valid JSON may be nested deeper than ``depth`` levels. Exact for JSON without escapes."""
    if sum(counted(raw, b"[{")) <= depth:
        return False
    quotes = _quotes(raw)
    if quotes is None:
        return True
    level, deepest = 0, 0
    for start, piece in pieces(raw):
        braces = piece | _TO_BRACE
        at = np.flatnonzero((braces == _BRACE) | (braces == _CLOSING))
        steps = np.where(braces[at] == _BRACE, 1, -1)
        # Within a string are those that follow an odd number of quotes.
        steps[np.searchsorted(quotes, at + start) % 2 == 1] = 0
        if len(steps):
            levels = level + np.cumsum(steps)
            level, deepest = int(levels[-1]), max(deepest, int(levels.max()))
    return deepest > depth


def has_long_text(raw: bytes, most_of_key: int, most_of_text: int) -> bool:
    """Return whether valid JSON may have a key or a text with more characters than these. Never misses one."""
    quotes = _quotes(raw)
    if quotes is None:
        return True
    starts, ends = quotes[0::2], quotes[1::2]
    sizes = ends - starts - 1
    long = np.flatnonzero(sizes > most_of_key)
    return any(int(sizes[each]) > most_of_text or _is_key(raw, int(ends[each])) for each in long)


def _is_key(raw: bytes, end: int) -> bool:
    """Return whether the string whose closing quote is at ``end`` is a key."""
    after = end + 1
    while raw[after : after + 1] and raw[after] in _SPACE:
        after += 1
    return raw[after : after + 1] == b":"


def positions(raw: bytes, character: int, most: int) -> list[int] | None:
    """Return where a character occurs in a text; None if there are more than ``most``."""
    found: list[int] = []
    for start, piece in pieces(raw):
        found += (np.flatnonzero(piece == character) + start).tolist()
        if len(found) > most:
            return None
    return found


def _quotes(raw: bytes) -> np.ndarray[Any, np.dtype[np.intp]] | None:
    """Return the positions of the quotes at both ends of strings; None if there are escapes, which may be quotes."""
    if b"\\" in raw:
        return None
    found = [np.flatnonzero(piece == _QUOTE) + start for start, piece in pieces(raw)]
    return np.concatenate(found) if found else np.zeros(0, np.intp)


def pieces(raw: bytes | bytearray, start: int = 0, end: int | None = None) -> Iterator[tuple[int, _Bytes]]:
    """Yield the pieces of a text, or of a slice of it, and where each begins. All but the last are whole words."""
    end = len(raw) if end is None else end
    for at in range(start, end, _PIECE_BYTES):
        yield at, np.frombuffer(raw, np.uint8, min(_PIECE_BYTES, end - at), at)
