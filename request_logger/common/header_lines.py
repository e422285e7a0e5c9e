"""Parses headers that a setting adds to requests: lines of ``Name: value``, or a JSON object."""

from __future__ import annotations

import re

from request_logger.common.json import loads

# RFC 9110: a token; and text without control characters, as http.client sends it.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
# Those of the message and of the event are made for each request.
_OURS = frozenset(("content-length", "transfer-encoding", "connection", "host", "content-type"))
_EVENT = "ce-"


def parse_header_lines(text: str) -> dict[str, str]:
    """Return the headers by lower-case name. Raises ValueError that says what was expected, and quotes no value."""
    if text.lstrip().startswith("{"):
        pairs = _of_object(text)
    else:
        pairs = [_of_line(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    headers: dict[str, str] = {}
    for name, value in pairs:
        if not _NAME.fullmatch(name):
            raise ValueError("expected names of letters, digits and hyphens")
        if name.lower() in _OURS or name.lower().startswith(_EVENT):
            raise ValueError(f"expected none of {', '.join(sorted(_OURS))} and {_EVENT}...")
        if not _VALUE.fullmatch(value):
            raise ValueError("expected values without control characters, in latin-1")
        headers[name.lower()] = value
    return headers


def _of_object(text: str) -> list[tuple[str, str]]:
    try:
        value = loads(text)
    except ValueError:
        raise ValueError("expected a JSON object or lines of Name: value") from None
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ValueError("expected a JSON object of texts")
    return list(value.items())


def _of_line(number: int, line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise ValueError(f"expected Name: value in line {number}, found no colon")
    return name.strip(), value.strip()
