"""JSON values that stay text: parsed only if their values are needed, and copied when they are serialised."""

from __future__ import annotations

from typing import Any

import orjson

_HOLDERS = frozenset({dict, list})


class JsonText:
    """A JSON value as its text (UTF-8), which must be valid JSON. It equals what it is parsed to.

    `request_logger.common.json.dumps` writes the text. Everything else that needs the value calls `parsed` or
    `all_parsed`.
    """

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text

    def parsed(self) -> Any:
        """Return the value: parsed again at each call."""
        return orjson.loads(self.text)

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
    if type(value) is list and any(type(entry) in _HOLDERS or isinstance(entry, JsonText) for entry in value):
        return [all_parsed(entry) for entry in value]
    return value
