"""Converts a Kafka record to an Event.

Records of Seldon Core 2 are known by their topic (`request_logger.kafka.core2`). The headers distinguish the other
three forms: the Seldon executor's own (``type``, ``requestid``, ... without a prefix; no id, source or time),
CloudEvents in binary mode (``ce_type``, ...), and in structured mode (the value is the whole event). See docs/kafka.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol

from request_logger.common.names import strip_header
from request_logger.common.times import instant, time_key
from request_logger.documents.envelope import parse_structured
from request_logger.documents.event import BadEventError, Event, from_headers, from_structured, kept_body
from request_logger.forward import Message, binary_message, message_of
from request_logger.kafka import core2
from request_logger.kafka.record import Record
from request_logger.otlp import Recording, Source, TracerLike
from request_logger.settings import Settings
from request_logger.store.writing.future import Future

_PREFIXES = ("ce_", "ce-")
_CONTENT_TYPE = "content-type"
# Names of attributes have at most 20 characters; the cache holds no long ones.
_MOST_CACHED_CHARACTERS = 64
_STRUCTURED = "application/cloudevents+json"
_BATCHED = "application/cloudevents-batch"
# What ends a header, or makes it invalid.
_LINES = re.compile(r"[\r\n\0]+")
_NAME = re.compile(r"[a-z0-9_-]+")


def event_of(record: Record, settings: Settings, admit: Callable[[Event], Event]) -> Event:
    """Return the event of a record, checked by ``admit``.

    Raises BadEventError and IgnoredEventError as from_headers does, and what ``admit`` raises.
    """
    resource = core2.resource_of(record.topic, settings.seldon_kafka_prefix)
    if resource is not None:
        return admit(_arrived(core2.event_of(record, resource, settings), record))
    content_type, headers = _headers(record)
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind == _STRUCTURED:
        value = _with_time(parse_structured(record.value), record)
        return admit(_arrived(from_structured(value, settings), record))
    if kind.startswith(_BATCHED):
        raise BadEventError("content-type: expected one event in a record, found a batch")
    if "ce-time" not in headers and record.timestamp is not None:
        # The time at which the record was sent: it may be read days later.
        headers["ce-time"] = instant(record.timestamp)
    body = kept_body(record.value, content_type, settings)
    return admit(_arrived(from_headers(headers, body, settings), record))


class Pipeline(Protocol):
    """The part of `request_logger.ingest.pipeline.IngestPipeline` that the Kafka binding uses."""

    def admit(self, event: Event) -> Event:
        """Return the event if it may be stored; raises otherwise."""

    def redact(self, event: Event) -> Event:
        """Return the event without what REDACT removes."""

    def prepared(self, event: Event, recording: Recording | None = None) -> Callable[[], Future[Any]]:
        """Return the function that submits the event, with everything but the queueing already done."""


def prepared(
    pipeline: Pipeline, record: Record, settings: Settings, tracer: TracerLike | None = None
) -> tuple[Event, Callable[[], Future[Any]]]:
    """Return a record's event and the function that submits it to the store, and with ``tracer`` ends its trace.

    Raises what `event_of` raises.
    """
    recording = None if tracer is None else tracer.begin(_parent(record), Source.KAFKA)
    event = pipeline.redact(event_of(record, settings, pipeline.admit))
    if recording is not None:
        recording.received(event)
    return event, pipeline.prepared(event, recording)


def _parent(record: Record) -> dict[str, str]:
    """Return the header traceparent of a record; that of a CloudEvent is preferred, as for the document."""
    headers = {name.lower(): value.decode("latin-1") for name, value in record.headers if value is not None}
    found = [headers[name] for name in ("ce_traceparent", "ce-traceparent", "traceparent") if name in headers]
    return {"traceparent": found[0]} if found else {}


def forwarded(record: Record, settings: Settings) -> Message:
    """Return the HTTP request that is forwarded for a record whose event was stored: binary mode, or unchanged.

    Those without an id or a source get the record's position and topic, which CloudEvents requires.
    """
    resource = core2.resource_of(record.topic, settings.seldon_kafka_prefix)
    made = {"specversion": "1.0", "id": record.position, "source": record.topic}
    if record.timestamp is not None:
        made["time"] = instant(record.timestamp)
    if resource is not None:
        attributes, value, content_type = core2.attributes_of(record, resource)
        return binary_message({**made, **attributes}, value, content_type)
    kind, headers = _headers(record)
    if (kind or "").strip().lower().startswith(_STRUCTURED):
        return message_of({"content-type": _LINES.sub(" ", kind or "")}, record.value)
    # Kafka's headers may have any name, and any bytes as their value.
    sendable = {name: _LINES.sub(" ", value).strip() for name, value in headers.items() if _NAME.fullmatch(name)}
    required = {f"ce-{name}": value for name, value in made.items()}
    labelled = {"content-type": _LINES.sub(" ", kind)} if kind else {}
    return message_of({**required, **sendable, **labelled}, record.value)


def origin_of(record: Record) -> tuple[str | None, str | None]:
    """Return namespace and deployment from the headers, None where they are only in the value."""
    content_type, headers = _headers(record)
    if (content_type or "").strip().lower().startswith("application/cloudevents"):
        return None, None
    names = (headers.get("ce-namespace"), headers.get("ce-inferenceservicename") or headers.get("ce-modelid"))
    namespace, deployment = (strip_header(name) or None if name else None for name in names)
    return namespace, deployment


def _headers(record: Record) -> tuple[str | None, dict[str, str]]:
    """Return the content type, and the attributes under their names as HTTP headers."""
    content_type = None
    plain: dict[str, str] = {}
    prefixed: dict[str, str] = {}
    for name, value in record.headers:
        if value is None:
            continue
        known, is_prefixed = (_named if len(name) <= _MOST_CACHED_CHARACTERS else _named.__wrapped__)(name)
        if not known:
            content_type = value.decode("latin-1") or None
        else:
            (prefixed if is_prefixed else plain)[known] = value.decode("latin-1")
    # A CloudEvents record may also carry headers of other programs, such as one named ``type``.
    if "ce-type" in prefixed:
        traceparent = plain.get("ce-traceparent")
        return content_type, {**({"traceparent": traceparent} if traceparent else {}), **prefixed}
    return content_type, {**plain, **prefixed}


# All records of a sender have the same names.
@lru_cache(maxsize=256)
def _named(name: str) -> tuple[str, bool]:
    """Return a header's name as that of HTTP, empty for the content type, and whether it has a prefix."""
    lowered = name.lower()
    if lowered == _CONTENT_TYPE:
        return "", False
    is_prefixed = lowered.startswith(_PREFIXES)
    return f"ce-{lowered[3:] if is_prefixed else lowered}", is_prefixed


def _arrived(event: Event, record: Record) -> Event:
    """Set the record's time on an event without a readable one, so that its order is the same when it is read again."""
    if time_key(event.time) is None and record.timestamp is not None:
        return replace(event, timestamp=instant(record.timestamp))
    return event


def _with_time(value: object, record: Record) -> object:
    if isinstance(value, dict) and not value.get("time") and record.timestamp is not None:
        return {**value, "time": instant(record.timestamp)}
    return value
