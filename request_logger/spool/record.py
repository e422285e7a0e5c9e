"""The spool's record format: an event, or other attributes with a body, as bytes with a checksum."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from request_logger.documents.event import Body, Event

_MAGIC = b"RLS1"
_HEAD = struct.Struct(">4sII")  # magic, CRC-32 of the rest, length of the attributes (JSON); the body follows them


def to_bytes(event: Event) -> bytes:
    """Serialise an event without loss, including its time of arrival."""
    attributes = {spec.name: getattr(event, spec.name) for spec in fields(event) if spec.name != "body"}
    body = event.body
    attributes["body"] = [body.raw is not None, body.content_type, body.size, body.sha256, body.reason]
    return frame(attributes, body.raw or b"")


def frame(attributes: Mapping[str, Any], body: bytes) -> bytes:
    """Return a record of some attributes and a body."""
    text = json.dumps(attributes).encode()  # not orjson: a lone surrogate must survive
    rest = text + body
    return _HEAD.pack(_MAGIC, zlib.crc32(rest, len(text)), len(text)) + rest


def is_intact(record: bytes) -> bool:
    """Return whether a record's checksum is correct."""
    if len(record) < _HEAD.size:
        return False
    magic, checksum, length = _HEAD.unpack_from(record)
    return bool(magic == _MAGIC and zlib.crc32(record[_HEAD.size :], length) == checksum)


def from_bytes(record: bytes) -> Event:
    """Return the event that `to_bytes` serialised. Raises ValueError if the record is damaged."""
    attributes, body = unframe(record)
    has_raw, *described = attributes.pop("body")
    return Event(**attributes, body=Body(body if has_raw else None, *described))


def unframe(record: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the attributes and the body that `frame` got. Raises ValueError if the record is damaged."""
    if len(record) < _HEAD.size:
        raise ValueError("a record of the spool is cut off")
    if not is_intact(record):
        raise ValueError("a record of the spool is damaged: its checksum is wrong")
    length = _HEAD.unpack_from(record)[2]
    rest = record[_HEAD.size :]
    return json.loads(rest[:length]), rest[length:]
