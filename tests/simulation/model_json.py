"""What an engine's JSON parser takes: its limits on numbers, names and depth.

orjson reads nearly all; what it refuses, and what may be over a limit, is read again by the standard library.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from tests.simulation.model_flavour import Flavour

_MAY_BE_LONG_NUMBER = re.compile(rb"[0-9.eE+-]{900}")
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')


class ParseError(ValueError):
    """The text is not JSON, or over a limit of the parser. ``limit`` says which."""

    def __init__(self, limit: bool) -> None:
        super().__init__("over a limit of the parser" if limit else "not JSON")
        self.limit = limit


class Long(int):
    """A whole number that needs no exact value: it is only known to be beyond every type."""


def parse(raw: bytes, flavour: Flavour) -> Any:
    """Return the value. Raises ParseError."""
    # Nothing can be over a limit in fewer bytes than the lowest one.
    if len(raw) < 900:
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            return _slow(raw, flavour)
    if len(raw) < 50_000 and not _MAY_BE_LONG_NUMBER.search(raw) and raw.count(b"[") + raw.count(b"{") < 900:
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
        # Python refuses to read more than 4,300 digits; of so many only the size matters.
        return int(digits) if len(digits) < 400 else Long(f"{digits[:400]}")

    def fraction(digits: str) -> float:
        if flavour.longest_number is not None and len(digits) > flavour.longest_number:
            raise ParseError(True)
        return float(digits)

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in found]
        if flavour.longest_name is not None and any(len(name) > flavour.longest_name for name in names):
            raise ParseError(True)
        if len(set(names)) < len(names):
            raise ParseError(False)
        return dict(found)

    def constant(_name: str) -> float:
        raise ParseError(False)

    try:
        return json.loads(text, parse_int=whole, parse_float=fraction, object_pairs_hook=pairs, parse_constant=constant)
    except ParseError:
        raise
    except (ValueError, RecursionError):
        raise ParseError(False) from None


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in _LITERAL.sub("", text):
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest
