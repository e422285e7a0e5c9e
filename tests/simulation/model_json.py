"""What an engine's JSON parser takes: its limits on numbers, names and depth.

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
# Python reads no more; of longer numbers, which only one engine takes, these digits must do.
_MOST_DIGITS = 4300
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')


class ParseError(ValueError):
    """The text is not JSON, or over a limit of the parser. ``limit`` says which."""

    def __init__(self, limit: bool) -> None:
        super().__init__("over a limit of the parser" if limit else "not JSON")
        self.limit = limit


class Infinite(float):
    """A number that is beyond a double: an engine that writes it anew makes text of it."""


def dumped(value: Any) -> bytes:
    """Return a value as an engine writes it anew."""
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
    """Say whether more arrays are directly in each other than the limit."""
    if isinstance(value, list):
        return depth >= limit or any(too_nested(inner, limit, depth + 1) for inner in value)
    return isinstance(value, dict) and any(too_nested(inner, limit) for inner in value.values())


def parse(raw: bytes, flavour: Flavour) -> Any:
    """Return the value, whole numbers exactly. Raises ParseError."""
    # orjson makes a float of a whole number beyond 64 bits. In fewer bytes than the lowest one no limit can be met.
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
    if flavour.deepest is not None and _depth(text) > flavour.deepest:
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
