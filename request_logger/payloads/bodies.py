"""Parses the bytes of an event's body leniently to a JSON value.

The fast path is a single orjson parse. What orjson refuses (NaN literals, a byte order mark, lone surrogates, a form,
bytes after the JSON) takes a slower path. gzip is detected by its magic number, because a gzip body is logged with any
headers.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import orjson

from request_logger.common import json_scan
from request_logger.common.json import (
    MAX_DEPTH,
    MAX_KEY_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    UnstorableNumber,
    dumps,
    has_big_integer,
    has_double,
    parse_leniently,
)
from request_logger.payloads import v2_binary
from request_logger.payloads.base import UndecodableError
from request_logger.payloads.llm import streams

MAX_INFLATED_BYTES = 64 * 1024 * 1024

GZIP = b"\x1f\x8b"
_FORM = "application/x-www-form-urlencoded"
_SPACE = ord(" ")
_HOLDERS = frozenset({list, dict})
_SURROGATES = re.compile("[\ud800-\udfff]")


class Body(NamedTuple):
    """A parsed body: ``value`` for the decoders, ``stored`` for the document's payload.

    They differ if the body has numbers without a finite double, which search engines don't preserve: these are None in
    ``value``, and text in ``stored`` (``"NaN"``, ``"Infinity"``, ``"-Infinity"``, an integer's digits). Otherwise they
    are the same object.
    """

    value: Any
    stored: Any


def parse(raw: bytes, content_type: str | None = None, *, max_bytes: int = MAX_INFLATED_BYTES) -> Body:
    """Parse a body. gzip is inflated to at most ``max_bytes``; an object that was encoded twice is decoded twice.

    Raises UndecodableError with one line for the user.
    """
    body = _parse(raw, content_type, max_bytes)
    return _unwrapped(body) if type(body.value) is str else body


def _unwrapped(body: Body) -> Body:
    """Return the object in a JSON string, as some senders encode objects twice; other text unchanged."""
    try:
        inner = _parse(body.value.encode(), None, 0)
    except UndecodableError:
        return body
    return inner if isinstance(inner.value, dict) else body


def _parse(raw: bytes, content_type: str | None, max_bytes: int) -> Body:
    if raw.startswith(GZIP):
        raw = inflate(raw, max_bytes)
    if not raw:
        raise UndecodableError("empty body")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return _parse_stream(raw) or _parse_leniently(raw, content_type, str(error))
    if raw[-1] <= _SPACE and v2_binary.is_likely(raw):
        value = v2_binary.parse(raw) or value
    if has_big_integer(raw):
        return _parse_leniently(raw, None, "")
    if len(raw) > MAX_DEPTH and json_scan.is_deeper(raw, MAX_DEPTH):
        check_depth(value)
    if len(raw) > MAX_KEY_CHARACTERS and json_scan.has_long_text(raw, MAX_KEY_CHARACTERS, MAX_TEXT_CHARACTERS):
        check_lengths(value)
    return Body(value, value)


def check_depth(value: Any) -> None:
    """Raise UndecodableError if a JSON value is nested deeper than ``MAX_DEPTH``, so that it can't be stored."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for entry in level:
            kind = type(entry)
            if kind is dict:
                below.extend(entry.values())
            elif kind is list:
                below.extend(entry)
        if _HOLDERS.isdisjoint(map(type, below)):
            return
        level = below
    raise UndecodableError(f"body is nested deeper than {MAX_DEPTH} levels")


def check_lengths(value: Any) -> None:
    """Raise UndecodableError if a JSON value has a key or a text that is too long for search engines."""
    level = [value]
    while level:
        holders = [entry for entry in level if type(entry) in _HOLDERS]
        for holder in holders:
            if type(holder) is dict:
                check_names(holder)
        level = list(chain.from_iterable(holder.values() if type(holder) is dict else holder for holder in holders))
        if any(type(entry) is str and len(entry) > MAX_TEXT_CHARACTERS for entry in level):
            raise UndecodableError(f"body has a text of more than {MAX_TEXT_CHARACTERS} characters")


def check_names(names: Iterable[str]) -> None:
    """Raise UndecodableError if a name, of a key or a column, is too long for search engines."""
    if max(map(len, names), default=0) > MAX_KEY_CHARACTERS:
        raise UndecodableError(f"body has a name of more than {MAX_KEY_CHARACTERS} characters")


def inflate(raw: bytes, max_bytes: int) -> bytes:
    """Return inflated gzip (with one or more members), never more than ``max_bytes``.

    A truncated stream of events is returned as far as it goes. Raises UndecodableError if the body is damaged,
    truncated or too large.
    """
    parts: list[bytes] = []
    room = max_bytes
    while raw.startswith(GZIP):
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(raw, room + 1)
        except zlib.error:
            raise UndecodableError("gzip body is damaged") from None
        if len(part) > room:
            raise UndecodableError(f"gzip body is larger than {max_bytes} bytes")
        parts.append(part)
        if not member.eof:
            head = b"".join(parts)
            if streams.is_stream(head):
                # The beginning of an answer is worth having.
                return head
            raise UndecodableError("gzip body is cut short")
        room -= len(part)
        raw = member.unused_data
    return b"".join(parts)


def storable(value: Any) -> Body:
    """Return both forms of a value that may have numbers or text that can't be stored as JSON in UTF-8.

    Lone surrogates become U+FFFD. Raises UndecodableError if the value is nested too deeply, or has a name or a text
    that is too long.
    """
    check_depth(value)
    check_lengths(value)
    return Body(_clean(value, as_text=False), _clean(value, as_text=True))


def _clean(value: Any, *, as_text: bool) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        if not as_text:
            return None
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, UnstorableNumber):
        return str(value) if as_text else None
    if type(value) is int and not has_double(value):
        # Our parsers never return one; a decoder of another package might.
        return None
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return value if _is_clean(value) else [_clean(entry, as_text=as_text) for entry in value]
    if isinstance(value, dict):
        return {_SURROGATES.sub("\ufffd", key): _clean(entry, as_text=as_text) for key, entry in value.items()}
    return value


def _is_clean(values: list[Any]) -> bool:
    """Return whether a tensor's flat values can be stored unchanged. Fast, but may return False for others."""
    kinds = set(map(type, values))
    if kinds == {float}:
        return all(map(math.isfinite, values))
    return kinds <= {int, bool} and (not values or (has_double(max(values)) and has_double(min(values))))


def _parse_stream(raw: bytes) -> Body | None:
    try:
        body = streams.assembled(raw)
    except RecursionError:
        raise UndecodableError(f"body is nested deeper than {MAX_DEPTH} levels") from None
    return None if body is None else storable(body)


def assembled_json(raw: bytes) -> bytes | None:
    """Return the body of a streamed answer as JSON; None for any other bytes, and for a stream that can't be stored."""
    try:
        body = _parse_stream(raw)
    except UndecodableError:
        return None
    return None if body is None else dumps(body.stored)


def _parse_leniently(raw: bytes, content_type: str | None, problem: str) -> Body:
    raw = _form_field(raw, content_type) or raw
    try:
        text = raw.decode(json.detect_encoding(raw))
    except UnicodeDecodeError:
        return _parse_with_tail(raw, "body is neither JSON nor UTF-8 text")
    try:
        value = parse_leniently(text)
    except RecursionError:
        raise UndecodableError(f"body is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:
        return _parse_with_tail(raw, f"body is not JSON: {problem}")
    if isinstance(value, UnstorableNumber) and value[-1].isdigit():
        raise UndecodableError("body is not JSON with rows: a number beyond the range of a double")
    return storable(value)


def _parse_with_tail(raw: bytes, problem: str) -> Body:
    """Parse a V2 body in the binary form: JSON, then the tensors' bytes."""
    body = v2_binary.parse(raw)
    if body is None:
        raise UndecodableError(problem)
    return storable(body)


def _form_field(raw: bytes, content_type: str | None) -> bytes | None:
    """Return the JSON in a form's field ``json``. Plain JSON labelled as a form (curl -d) was parsed before."""
    if not raw.startswith(b"json=") and not (content_type or "").lower().startswith(_FORM):
        return None
    values = parse_qs(raw.decode(errors="replace")).get("json")
    return values[0].encode() if values else None
