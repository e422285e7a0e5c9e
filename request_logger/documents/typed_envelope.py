"""Events of a batch with the usual attributes, decoded to a fixed type: their ``data`` is parsed once, as a body.

Other attributes, and attributes that aren't text, have no place in the type: such a batch is parsed as any JSON is.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from request_logger.common.json import JsonText, has_big_integer, parse_leniently
from request_logger.documents.event import Body, Event, event_with, from_structured, meaning_of
from request_logger.settings import Settings

_NO_DATA = msgspec.Raw()
_CONTAINERS = (b"{", b"[")


class Envelope(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A CloudEvent with the attributes that nearly all senders write, as texts, and its ``data`` as JSON text."""

    specversion: str | None = None
    id: str | None = None
    type: str | None = None
    source: str | None = None
    time: str | None = None
    requestid: str | None = None
    modelid: str | None = None
    inferenceservicename: str | None = None
    namespace: str | None = None
    endpoint: str | None = None
    traceparent: str | None = None
    datacontenttype: str | None = None
    data: msgspec.Raw = _NO_DATA

    def as_object(self) -> dict[str, Any]:
        """Return the event as `parse_structured` does."""
        known = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        text = bytes(known.pop("data"))
        return {**known, "data": data_of(text)} if text else known


_decode = msgspec.json.Decoder(list[Envelope]).decode
encode = msgspec.json.Encoder().encode
"""Returns an envelope as JSON, with its data as it was written."""


def typed_batch(raw: bytes | bytearray) -> list[Envelope] | None:
    """Return the events of a batch, None if there is anything unusual in it."""
    try:
        if not raw.isascii():
            # The decoder doesn't check the text of what it doesn't parse.
            raw.decode()
        return _decode(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def data_of(text: bytes) -> Any:
    """Return the value of an event's ``data``; an object or an array stays text."""
    return JsonText(text) if text.startswith(_CONTAINERS) else exact(text)


def exact(text: bytes) -> Any:
    """Return the value of valid JSON; numbers that orjson doesn't keep exact are read by `parse_leniently`."""
    # A bracket, since a number is found by what precedes it.
    return parse_leniently(text) if has_big_integer(b"[" + text) else orjson.loads(text)


def from_parsed(value: Any, settings: Settings) -> Event:
    """Return the event of a batch: see `from_structured`, which has the cases that are not usual."""
    if type(value) is not Envelope:
        return from_structured(value, settings)
    raw = bytes(value.data)
    meaning = meaning_of(value.type)
    request_id = value.requestid or value.id
    is_usual = raw.startswith(_CONTAINERS) and len(raw) <= settings.max_payload_bytes
    if meaning is None or not request_id or not is_usual:
        return from_structured(value.as_object(), settings)
    names = (value.inferenceservicename, value.modelid, value.namespace, value.endpoint, value.source)
    body = Body(raw, value.datacontenttype, len(raw))
    return event_with(
        meaning, names, value.id or request_id, request_id, value.time, value.traceparent, None, body, settings
    )
