"""The JSON parser of an engine: its limits on numbers, names and depth.

orjson reads nearly all; what it refuses, and what may be over a limit, is read again by the standard library.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import orjson

from tests.simulation.model_flavour import Flavour

_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_INFINITY = float("inf")
_RECURSION = 10_000
_LOWEST_LIMIT = 900
_LONGEST_NAME = 50_000
# Python's limit. A longer number, which only Elasticsearch 7.10 accepts, is cut to this length.
_MOST_DIGITS = 4300
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')


class ParseError(ValueError):
    """The text is not JSON (``limit`` False) or exceeds a limit of the parser (True)."""

    def __init__(self, limit: bool) -> None:
        super().__init__("over a limit of the parser" if limit else "not JSON")
        self.limit = limit


class Infinite(float):
    """A number beyond a double, which an engine writes as text when it serialises it again."""


def dumped(value: Any) -> bytes:
    """Return a value as an engine serialises it."""
    try:
        return orjson.dumps(value)
    except TypeError:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(max(before, _RECURSION))
        try:
            return json.dumps(_written(value), separators=(",", ":")).encode()
        finally:
            sys.setrecursionlimit(before)


def _written(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _written(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_written(inner) for inner in value]
    return ("Infinity" if value > 0 else "-Infinity") if isinstance(value, Infinite) else value


def too_nested(value: Any, limit: int, depth: int = 0) -> bool:
    """Return whether arrays are directly nested more deeply than the limit."""
    if isinstance(value, list):
        return depth >= limit or any(too_nested(inner, limit, depth + 1) for inner in value)
    return isinstance(value, dict) and any(too_nested(inner, limit) for inner in value.values())


def parse(raw: bytes, flavour: Flavour) -> Any:
    """Return the value, with exact whole numbers. Raises ParseError."""
    # orjson turns whole numbers beyond 64 bits into floats. A text shorter than the lowest limit exceeds none.
    if not _LONG_NUMBER.search(raw) and (
        len(raw) < _LOWEST_LIMIT or (len(raw) < _LONGEST_NAME and raw.count(b"[") + raw.count(b"{") < _LOWEST_LIMIT)
    ):
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            return _slow(raw, flavour)
    return _slow(raw, flavour)


def _slow(raw: bytes, flavour: Flavour) -> Any:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise ParseError(False) from None
    deepest = flavour.deepest
    # The count of all brackets is never less than the depth, and quickly had.
    if deepest is not None and text.count("[") + text.count("{") > deepest and _depth(text) > deepest:
        raise ParseError(True)

    def whole(digits: str) -> int:
        if flavour.longest_number is not None and len(digits.lstrip("-")) > flavour.longest_number:
            raise ParseError(True)
        return int(digits[:_MOST_DIGITS])

    def fraction(digits: str) -> float:
        if flavour.longest_number is not None and sum(map(str.isdigit, digits)) > flavour.longest_number:
            raise ParseError(True)
        number = float(digits)
        return Infinite(number) if number in (_INFINITY, -_INFINITY) else number

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in found]
        if flavour.longest_name is not None and any(len(name) > flavour.longest_name for name in names):
            raise ParseError(True)
        if len(set(names)) < len(names):
            raise ParseError(False)
        return dict(found)

    def constant(_name: str) -> float:
        raise ParseError(False)

    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _RECURSION))
    try:
        return json.loads(text, parse_int=whole, parse_float=fraction, object_pairs_hook=pairs, parse_constant=constant)
    except ParseError:
        raise
    except (ValueError, RecursionError):
        raise ParseError(False) from None
    finally:
        sys.setrecursionlimit(before)


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in _LITERAL.sub("", text):
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest
