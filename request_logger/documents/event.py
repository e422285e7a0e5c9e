"""Parses CloudEvents over HTTP (binary, structured or batched mode) to events.

Lenient, as required by real senders: a binary mode event is read from its headers alone, with any specversion, with or
without source and time. The CloudEvents SDK's parser isn't used: it refuses such events, and converts times to
datetimes, which loses the nanoseconds and the original text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import orjson

from request_logger.common import core2_ids
from request_logger.common.json import JsonText, UnstorableNumber, has_big_integer, literal, parse_leniently
from request_logger.common.names import strip_header
from request_logger.common.periods import day_of
from request_logger.common.times import as_timestamp, time_key
from request_logger.documents import event_metadata
from request_logger.documents.origin import NAMES, PREFIXES, origin_of
from request_logger.payloads.bodies import assembled_json
from request_logger.payloads.llm.streams import is_stream
from request_logger.settings import Settings

PartName = Literal["request", "response", "feedback", "outlier", "drift"]

_TYPES: dict[str, tuple[str, PartName]] = {
    "inference.request": ("inference", "request"),
    "inference.response": ("inference", "response"),
    "reference.request": ("reference", "request"),
    "reference.response": ("reference", "response"),
    "feedback": ("inference", "feedback"),
    "inference.outlier": ("inference", "outlier"),
    "inference.drift": ("drift", "drift"),
}
Meaning = tuple[str, str, PartName]
_MEANINGS: dict[str, Meaning] = {
    f"{prefix}{kind}": (engine, *meaning) for prefix, engine in PREFIXES for kind, meaning in _TYPES.items()
}
"""Type of an event -> serving engine, kind, and name of the part."""
_ATTRIBUTES = frozenset(
    (
        "id",
        "type",
        "source",
        "time",
        "requestid",
        "modelid",
        "inferenceservicename",
        "namespace",
        "endpoint",
        "traceparent",
        *event_metadata.NAMES,
    )
)
_BY_HEADER = {f"ce-{name}": name for name in _ATTRIBUTES}
_JSON = "application/json"
# version-traceid-parentid-flags (W3C Trace Context); a trace id of zeros is invalid.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class BadEventError(ValueError):
    """The event is invalid, and no retry helps; the text names the field and what was expected."""


class IgnoredEventError(ValueError):
    """The event isn't of a kind that is stored; it is acknowledged and dropped. ``reason`` is a label for a counter."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(slots=True)
class Body:
    """The body of an event.

    ``raw`` is None if it isn't kept, as for a body over the limit: then only ``size`` (bytes) is known, ``sha256`` if
    it discloses nothing, and ``reason`` if it isn't the limit. Not modified after its creation.
    """

    raw: bytes | None
    content_type: str | None = None
    size: int = 0
    sha256: str = ""
    reason: str = ""


@dataclass(slots=True)
class Event:
    """One message about one prediction, ready to become parts of documents.

    Never modified after its creation, but not declared frozen: creating a frozen instance takes four times as long.
    """

    kind: Literal["inference", "reference", "drift"]
    part: PartName
    request_id: str
    index: str
    node: str
    """Ce-Modelid, empty if the event has none."""
    time: str | None
    """The original ce-time (characters stripped), None if there is none."""
    timestamp: str
    """A date that every search engine accepts: ce-time if it is one, else the time of arrival."""
    source: str | None
    header: dict[str, Any]
    """The top-level fields of the document: ServingEngine, Ce-..., RequestId."""
    body: Body
    id: str
    """Ce-Id, the request id if the event has none."""
    trace_id: str | None = None
    """The id of the prediction's trace (W3C Trace Context), None if there is none."""
    extensions: dict[str, Any] | None = None
    """The fields of `event_metadata.read_extensions`, None if there are none."""

    @property
    def owner(self) -> tuple[Any, ...]:
        """The deployment of the event: serving engine, namespace, name and endpoint, each None if unknown."""
        return owner_of(self.header)

    @property
    def day(self) -> date:
        """The day (UTC) of its time."""
        return day_of(time_key(self.timestamp))


_JOIN_KEY = "join-key"


def with_join_key(event: Event, path: str, value: str) -> Event:
    """Return a feedback whose request id is a value of the join key ``path``, and not the id of its prediction."""
    event.request_id = event.header["RequestId"] = value
    event.extensions = {_JOIN_KEY: path}
    return event


def join_key_of(event: Event) -> str | None:
    """Return the join key whose value the event has as its request id; None for an event with its prediction's id."""
    found = (event.extensions or {}).get(_JOIN_KEY)
    return found if isinstance(found, str) else None


OWNER_FIELDS = ("ServingEngine", "Ce-Namespace", "Ce-Inferenceservicename", "Ce-Endpoint")


def owner_of(document: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the deployment that a document's top-level fields name."""
    return tuple(map(document.get, OWNER_FIELDS))


def from_headers(headers: Mapping[str, str], body: Body, settings: Settings) -> Event:
    """Return a binary mode event. ``headers`` has lower-case names and latin-1 values, as in WSGI.

    Raises BadEventError if id or type is missing, IgnoredEventError if the type isn't one that is stored.
    """
    attributes = {
        known: value if value.isascii() else _text(value)
        for name, value in headers.items()
        if (known := _BY_HEADER.get(name)) is not None
    }
    if "traceparent" not in attributes and "traceparent" in headers:
        # The event's own traceparent is preferred: the message's may belong to a trace of the delivery.
        attributes["traceparent"] = headers["traceparent"]
    return from_attributes(attributes, body, settings, spelling="Ce-{}".format)


def from_structured(value: Any, settings: Settings) -> Event:
    """Return a structured mode event from its parsed JSON object.

    Raises BadEventError and IgnoredEventError as from_headers does.
    """
    if not isinstance(value, dict):
        raise BadEventError(f"event: expected a JSON object, found {kind_of(value)}")
    attributes = {
        known: item if type(item) is str or known in event_metadata.NAMES else _attribute(known, item)
        for name, item in value.items()
        if item is not None and (known := name if name in _ATTRIBUTES else name.lower()) in _ATTRIBUTES
    }
    content_type = value.get("datacontenttype")
    content_type = content_type if isinstance(content_type, str) else None
    raw = _structured_data(value, content_type)
    if len(raw) > settings.max_payload_bytes and isinstance(value.get("data"), JsonText):
        # The limit counts no white space in structured mode.
        raw = literal(_parsed(raw))
    body = kept_body(raw, content_type, settings)
    return from_attributes(attributes, body, settings, spelling=str)


def _attribute(name: str, value: Any) -> str:
    """Return the canonical text of an attribute that is an integer or a boolean, which CloudEvents allows, too."""
    # Integers of many digits, NaN and numbers beyond a double are texts here, too.
    if isinstance(value, str) and not (isinstance(value, UnstorableNumber) and not value[-1].isdigit()):
        return str.__str__(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise BadEventError(f"{name}: expected text, an integer or a boolean, found {kind_of(value)}")


def kept_body(raw: bytes, content_type: str | None, settings: Settings) -> Body:
    """Return the body of an event; if it has more than MAX_PAYLOAD_BYTES, only its size and SHA-256.

    A streamed answer over this limit, and within MAX_STREAM_BYTES, is assembled, since its chunks have many times
    the bytes of its text.
    """
    limit = settings.max_payload_bytes
    if len(raw) > limit:
        whole = assembled_json(raw) if is_longer_kept(raw, len(raw), settings) else None
        if whole is not None and len(whole) <= limit:
            return Body(whole, _JSON, len(whole))
        return Body(None, content_type, len(raw), hashlib.sha256(raw).hexdigest())
    return Body(raw, content_type, len(raw))


def is_longer_kept(head: bytes | bytearray, size: int, settings: Settings) -> bool:
    """Return whether a body over MAX_PAYLOAD_BYTES may be kept: ``head`` is the beginning of a stream of events."""
    return size <= min(settings.max_stream_bytes, settings.memory_budget_bytes // 4) and is_stream(head)


def from_attributes(attributes: Mapping[str, Any], body: Body, settings: Settings, spelling: Any = str) -> Event:
    """Return the event with these CloudEvents attributes; ``spelling`` formats an attribute's name for messages.

    All are texts, but those of `event_metadata.NAMES`, which may have any JSON value.
    Raises BadEventError if id or type is missing, IgnoredEventError if the type isn't one that is stored.
    """
    request_id = attributes.get("requestid") or attributes.get("id")
    if not request_id:
        raise BadEventError(
            f"{spelling('Requestid')}: missing, and so is {spelling('Id')}; expected the id of the prediction"
        )
    event_type = attributes.get("type")
    if not event_type:
        raise BadEventError(
            f"{spelling('Type')}: missing; expected io.seldon.serving. or org.kubeflow.serving. with "
            f"one of {', '.join(_TYPES)}"
        )
    meaning = _MEANINGS.get(event_type)
    if meaning is None:
        raise IgnoredEventError("unknown_type", f"{spelling('Type')}: of a type that is not stored")
    extensions: dict[str, Any] | None = None
    if meaning[2] in ("request", "response") and not event_metadata.NAMES.isdisjoint(attributes):
        extensions = event_metadata.read_extensions(attributes, settings.metadata_fields) or None
    get = attributes.get
    names = tuple(map(get, NAMES))
    id = get("id") or request_id
    return event_with(meaning, names, id, request_id, get("time"), get("traceparent"), extensions, body, settings)


def meaning_of(event_type: str | None) -> Meaning | None:
    """Return serving engine, kind and part of a type of events, None if it isn't one that is stored."""
    return _MEANINGS.get(event_type) if event_type else None


def event_with(
    meaning: Meaning,
    names: tuple[str | None, ...],
    id: str,
    request_id: str,
    time: str | None,
    traceparent: str | None,
    extensions: dict[str, Any] | None,
    body: Body,
    settings: Settings,
) -> Event:
    """Return the event with these attributes; ``names`` are the values of inferenceservicename, modelid, namespace,
    endpoint and source.
    """
    engine, kind, part = meaning
    index, node, source, shared = origin_of(engine, kind, names, settings.index_name, settings.seldon_environment)
    time = strip_header(time) if time else None
    if part == "feedback" and shared.get("Ce-Endpoint") in core2_ids.KINDS:
        request_id = core2_ids.id_of(request_id, shared["Ce-Inferenceservicename"] or "")
    # Positional, since this runs for every event: keywords take twice as long.
    return Event(
        kind,  # type: ignore[arg-type]
        part,
        request_id,
        index,
        node,
        time,
        as_timestamp(time),
        source,
        {**shared, "RequestId": request_id},
        body,
        id,
        _trace_id(traceparent) if traceparent else None,
        extensions,
    )


def _trace_id(traceparent: str) -> str | None:
    match = _TRACEPARENT.match(traceparent.strip().lower())
    return match[1] if match else None


def _structured_data(value: dict[str, Any], content_type: str | None) -> bytes:
    encoded = value.get("data_base64")
    if encoded is None and str(value.get("datacontentencoding", "")).lower() == "base64":
        encoded = value.get("data")
    if encoded is not None:
        try:
            return base64.b64decode(encoded, validate=False)
        except (binascii.Error, TypeError, ValueError):
            raise BadEventError("data_base64: expected base64 text") from None
    data = value.get("data")
    if data is None:
        return b""
    if isinstance(data, str):
        if content_type and "protobuf" in content_type:
            # The Go SDK writes protobuf bytes into a JSON string, which parse_structured reads as latin-1.
            try:
                return data.encode("latin-1")
            except UnicodeEncodeError:
                return data.encode()
        if content_type and "json" in content_type:
            return literal(data)
        return data.encode("utf-8", "surrogatepass")
    if isinstance(data, JsonText):
        return data.text
    # As it was written, so that a body has the same meaning in every mode, including numbers that can't be stored.
    return literal(data)


def _parsed(raw: bytes) -> Any:
    try:
        return parse_leniently(raw) if has_big_integer(raw) else orjson.loads(raw)
    except orjson.JSONDecodeError:
        return parse_leniently(raw)


def _text(value: str) -> str:
    """Return a header's value (decoded as latin-1) decoded as UTF-8, which senders use, if it is valid UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        return value


def kind_of(value: Any) -> str:
    """Return the kind of a JSON value, for errors that must not quote it."""
    names = {dict: "an object", list: "an array", str: "text", bytes: "bytes", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def with_body(event: Event, body: Body) -> Event:
    """Return an event with another body: for one that was read from its headers alone."""
    # Positional, since this runs for every binary mode event: 0.3 µs, against 2.4 µs for dataclasses.replace.
    return Event(
        event.kind,
        event.part,
        event.request_id,
        event.index,
        event.node,
        event.time,
        event.timestamp,
        event.source,
        event.header,
        body,
        event.id,
        event.trace_id,
        event.extensions,
    )
