"""Parses the bodies of structured and batched requests to events as JSON; a large ``data`` stays text.

Large data is not parsed with its event, written again and parsed a second time, but only checked to be valid JSON, and
parsed (if at all) when it is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import orjson

from request_logger.common.json import JsonText, dumps, has_big_integer, literal, parse_leniently
from request_logger.documents.event import BadEventError, kind_of
from request_logger.documents.typed_envelope import Envelope, data_of, encode, exact

# For smaller events a single parse of everything is faster.
LEAST_BYTES = 8 * 2**10
_DATA = "data"
_DATA_KEY = b'"data"'

_Fields = dict[str, msgspec.Raw]
_one = msgspec.json.Decoder(_Fields).decode
_several = msgspec.json.Decoder(list[_Fields]).decode


def parse_structured(raw: bytes | bytearray) -> Any:
    """Parse the body of a structured mode request; a large ``data`` that is an object or an array is a JsonText.

    Go senders put raw protobuf into a JSON string, which isn't valid UTF-8: such a body is read as latin-1. Numbers
    that orjson doesn't keep exact are read by `parse_leniently`. Raises BadEventError if the body isn't JSON.
    """
    if len(raw) >= LEAST_BYTES:
        fields = _typed(_one, raw)
        if fields is not None:
            return fields
    return _parse(raw)


def parse_batch(raw: bytes | bytearray) -> Iterator[Any]:
    """Return the events of a batched mode body as `parse_structured` does. Raises BadEventError if it has no array."""
    value = parse_array(raw) or _parse(raw)
    if not isinstance(value, list):
        raise BadEventError(f"body: expected a JSON array of CloudEvents, found {kind_of(value)}")
    return iter(value)


def event_json(value: Envelope | dict[str, Any]) -> bytes:
    """Return a parsed event as JSON, as it was written."""
    if isinstance(value, Envelope):
        return encode(value)
    parts = [
        b"%b:%b" % (dumps(name), item.text if isinstance(item, JsonText) else literal(item))
        for name, item in value.items()
    ]
    return b"{%b}" % b",".join(parts)


def parse_array(raw: bytes | bytearray) -> list[Any] | None:
    """Return an array of large events; None if they are small, or it can't be read in this way."""
    if len(raw) < LEAST_BYTES * max(raw.count(_DATA_KEY), 1):
        return None
    found: list[Any] | None = _typed(_several, raw)
    return found


def _typed(decode: Callable[[bytes | bytearray], Any], raw: bytes | bytearray) -> Any:
    """Return the parsed events, None if there is anything unusual."""
    try:
        if not raw.isascii():
            # The decoder doesn't check the text of what it doesn't parse.
            raw.decode()
        found = decode(raw)
        return list(map(_event, found)) if isinstance(found, list) else _event(found)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _event(fields: _Fields) -> dict[str, Any]:
    return {name: _value(name, bytes(value)) for name, value in fields.items()}


def _value(name: str, text: bytes) -> Any:
    return data_of(text) if name == _DATA else exact(text)


def _parse(raw: bytes | bytearray) -> Any:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        try:
            return parse_leniently(raw.decode() if _is_utf8(raw) else raw.decode("latin-1"))
        except (ValueError, RecursionError):
            raise BadEventError(f"body: expected a CloudEvent as JSON, found no JSON ({error})") from None
    return parse_leniently(raw) if has_big_integer(raw) else value


def _is_utf8(raw: bytes | bytearray) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
