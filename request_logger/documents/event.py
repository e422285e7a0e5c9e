"""A CloudEvent over HTTP (binary, structured or batched) -> Event.

Lenient, as real senders need it: a binary event is taken from its headers alone, any specversion, with or without
source and time. The CloudEvents SDK's own parser is not used for reading: it refuses such events, and it turns times
into datetimes, which loses the nanoseconds and the text as it came.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, Literal

import orjson

from request_logger.common.json import has_big_integer, literal, parse_leniently
from request_logger.common.names import legal_index, strip_header
from request_logger.common.periods import day_of
from request_logger.common.times import as_timestamp, time_key
from request_logger.settings import Settings

PartName = Literal["request", "response", "feedback", "outlier", "drift"]

_PREFIXES = (("io.seldon.serving.", "seldon"), ("org.kubeflow.serving.", "inferenceservice"))
_TYPES: dict[str, tuple[str, PartName]] = {
    "inference.request": ("inference", "request"),
    "inference.response": ("inference", "response"),
    "reference.request": ("reference", "request"),
    "reference.response": ("reference", "response"),
    "feedback": ("inference", "feedback"),
    "inference.outlier": ("inference", "outlier"),
    "inference.drift": ("drift", "drift"),
}
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
    )
)
# version-traceid-parentid-flags; a trace id of zeros is none.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class BadEventError(ValueError):
    """The event can't be taken and sending it again can't help; the text names the field and what was expected."""


class IgnoredEventError(ValueError):
    """The event is of no kind that is stored; it is answered as taken. ``reason`` is a short counted word."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(slots=True)
class Body:
    """What an event carries.

    ``raw`` is None where it is not kept, as of a body over the limit: then only ``size`` (bytes) is known, ``sha256``
    where that gives nothing away, and ``reason`` where it is another than the limit.
    """

    raw: bytes | None
    content_type: str | None = None
    size: int = 0
    sha256: str = ""
    reason: str = ""


@dataclass(slots=True)
class Event:
    """One message about one prediction, ready to become parts of documents.

    Like all else that is made for each event it is not frozen, and never changed: to make a frozen one takes four times
    as long.
    """

    kind: Literal["inference", "reference", "drift"]
    part: PartName
    request_id: str
    index: str
    node: str
    """Ce-Modelid, empty where the sender gives none."""
    time: str | None
    """ce-time as it came (characters stripped), None where there is none."""
    timestamp: str
    """A date that every engine takes: ce-time where it is one, else the time of arrival."""
    source: str | None
    header: dict[str, Any]
    """The fields at the top of the document: ServingEngine, Ce-..., RequestId."""
    body: Body
    id: str
    """Ce-Id, the request's id where the sender gives none."""
    trace_id: str | None = None
    """Of the trace (W3C) in which the prediction was made, None where there is none."""

    @property
    def owner(self) -> tuple[Any, ...]:
        """Which deployment's document this is: engine, namespace, name and endpoint, None where not said."""
        return owner_of(self.header)

    @property
    def day(self) -> date:
        """The day (UTC) of its time."""
        return day_of(time_key(self.timestamp))


OWNER_FIELDS = ("ServingEngine", "Ce-Namespace", "Ce-Inferenceservicename", "Ce-Endpoint")


def owner_of(document: Mapping[str, Any]) -> tuple[Any, ...]:
    """Tell the deployment that a document's top-level fields name."""
    return tuple(map(document.get, OWNER_FIELDS))


def from_headers(headers: Mapping[str, str], body: Body, settings: Settings) -> Event:
    """Read a binary mode event. ``headers`` has lower-case names and latin-1 values, as WSGI gives them.

    Raises BadEventError where id or type is missing, IgnoredEventError where the type is of no known kind.
    """
    attributes = {
        name[3:]: _text(value) for name, value in headers.items() if name.startswith("ce-") and name[3:] in _ATTRIBUTES
    }
    if "traceparent" not in attributes and "traceparent" in headers:
        # That of the event is of the prediction's trace, that of the message may be of its delivery.
        attributes["traceparent"] = headers["traceparent"]
    return from_attributes(attributes, body, settings, spelling="Ce-{}".format)


def from_structured(value: Any, settings: Settings) -> Event:
    """Read one structured mode event, a JSON object as parsed.

    Raises BadEventError and IgnoredEventError as from_headers does.
    """
    if not isinstance(value, dict):
        raise BadEventError(f"event: expected a JSON object, found {kind_of(value)}")
    attributes = {
        known: item if isinstance(item, str) else _attribute(known, item)
        for name, item in value.items()
        if item is not None and (known := name if name in _ATTRIBUTES else name.lower()) in _ATTRIBUTES
    }
    content_type = value.get("datacontenttype")
    content_type = content_type if isinstance(content_type, str) else None
    raw = _structured_data(value, content_type)
    body = kept_body(raw, content_type, settings.max_payload_bytes)
    return from_attributes(attributes, body, settings, spelling=str)


def _attribute(name: str, value: Any) -> str:
    """Return the canonical text of an attribute that is no text: CloudEvents has integers and booleans, too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise BadEventError(f"{name}: expected text, an integer or a boolean, found {kind_of(value)}")


def kept_body(raw: bytes, content_type: str | None, limit: int) -> Body:
    """Return what an event carries: the body, of one over ``limit`` bytes only its size and SHA-256."""
    if len(raw) > limit:
        return Body(None, content_type, len(raw), hashlib.sha256(raw).hexdigest())
    return Body(raw, content_type, len(raw))


def parse_structured(raw: bytes | bytearray) -> Any:
    """Parse the body of a structured or batched request.

    A Go sender puts protobuf into a JSON string as it is, which is no UTF-8: such a body is read as latin-1 within
    its strings. Numbers that orjson would not keep are read as `serialize.parse_leniently` does. Raises BadEventError
    where it is no JSON.
    """
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


def parse_batch(raw: bytes | bytearray) -> Iterator[Any]:
    """Take a batched mode body apart. Raises BadEventError where it is no JSON array."""
    value = parse_structured(raw)
    if not isinstance(value, list):
        raise BadEventError(f"body: expected a JSON array of CloudEvents, found {kind_of(value)}")
    return iter(value)


def from_attributes(attributes: Mapping[str, str], body: Body, settings: Settings, spelling: Any = str) -> Event:
    """Make an Event of CloudEvents attributes; ``spelling`` turns an attribute's name into the sender's word for it."""
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
    for prefix, engine in _PREFIXES:
        known = _TYPES.get(event_type.removeprefix(prefix)) if event_type.startswith(prefix) else None
        if known:
            return _event(attributes, request_id, (engine, *known), body, settings)
    raise IgnoredEventError("unknown_type", f"{spelling('Type')}: of no kind that is stored")


def _event(
    attributes: Mapping[str, str],
    request_id: str,
    meaning: tuple[str, str, PartName],
    body: Body,
    settings: Settings,
) -> Event:
    engine, kind, part = meaning
    names = tuple(map(attributes.get, _NAMES))
    place = (engine, kind, names, settings.index_name, settings.seldon_environment)
    # All events of a deployment have it in common. What is too long to be a name is not kept in memory.
    known = sum(map(len, filter(None, names))) <= _MOST_NAMES_KEPT
    index, node, source, shared = (_place if known else _place.__wrapped__)(*place)
    time = attributes.get("time")
    time = strip_header(time) if time else None
    return Event(
        kind=kind,  # type: ignore[arg-type]
        part=part,
        request_id=request_id,
        index=index,
        node=node,
        time=time,
        timestamp=as_timestamp(time),
        source=source,
        header={**shared, "RequestId": request_id},
        body=body,
        trace_id=_trace_id(attributes.get("traceparent")),
        id=attributes.get("id") or request_id,
    )


_NAMES = ("inferenceservicename", "modelid", "namespace", "endpoint", "source")
_MOST_NAMES_KEPT = 1000
# It is the name of a node under `nodes`, and a longer name of a field has the whole _bulk refused (50,000 characters).
# No header is as long; only a structured event could have more.
_LONGEST_NODE = 8192


@lru_cache(maxsize=1024)
def _place(
    engine: str, kind: str, names: tuple[str | None, ...], index_name: str, environment: str
) -> tuple[str, str, str | None, dict[str, Any]]:
    """Give index, node, source and the fields at the top of the document (not to be changed) but the request's id."""
    clean = {attribute: strip_header(name) for attribute, name in zip(_NAMES, names, strict=True) if name}
    if len(clean.get("modelid", "")) > _LONGEST_NODE:
        digest = hashlib.sha256(clean["modelid"].encode("utf-8", "surrogatepass")).hexdigest()[:16]
        clean["modelid"] = f"{clean['modelid'][:_LONGEST_NODE]}~{digest}"
    name = clean.get("inferenceservicename") or clean.get("modelid")
    header: dict[str, Any] = {"ServingEngine": engine, "Ce-Inferenceservicename": name}
    for field, attribute in (("Ce-Endpoint", "endpoint"), ("Ce-Namespace", "namespace"), ("Ce-Modelid", "modelid")):
        if clean.get(attribute):
            header[field] = clean[attribute]
    index = index_name or _index(kind, engine, name, clean, environment)
    return index, clean.get("modelid", ""), clean.get("source"), header


def _trace_id(traceparent: str | None) -> str | None:
    match = _TRACEPARENT.match(traceparent.strip().lower()) if traceparent else None
    return match[1] if match else None


def _index(kind: str, engine: str, name: str | None, clean: Mapping[str, str], environment: str) -> str:
    environment = f"{environment}-" if environment else ""
    start = f"{kind}-log-{environment}{engine}-{clean.get('namespace') or 'unknown-namespace'}"
    if kind == "drift":
        return legal_index(f"{start}-{_detector(clean.get('source'), name)}")
    start = f"{start}-{name or 'unknown-inferenceservice'}"
    if kind == "reference":
        return legal_index(start)
    return legal_index(f"{start}-{clean.get('endpoint') or 'unknown-endpoint'}")


def _detector(source: str | None, name: str | None) -> str:
    """Name a drift detector as the original does: what follows the type prefix in its source, else the deployment."""
    if source is None:
        return "unknown-detector"
    for prefix, _ in _PREFIXES:
        if source.startswith(prefix):
            name = source.removeprefix(prefix)
            break
    return name or "unknown-inferenceservice"


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
            # The Go SDK writes protobuf bytes into a JSON string; parse_structured read them as latin-1.
            try:
                return data.encode("latin-1")
            except UnicodeEncodeError:
                return data.encode()
        if content_type and "json" in content_type:
            return literal(data)
        return data.encode("utf-8", "surrogatepass")
    # As it was written, so that a body has one meaning in every mode: a number that can't be stored is one here, too.
    return literal(data)


def _text(value: str) -> str:
    """Read a header's bytes (latin-1 here) as the UTF-8 that senders mean, where it is."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        return value


def kind_of(value: Any) -> str:
    """Name the kind of a JSON value, for errors that must not quote it."""
    names = {dict: "an object", list: "an array", str: "text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def with_body(event: Event, body: Body) -> Event:
    """Give the event that was read from headers alone its body."""
    event.body = body
    return event
