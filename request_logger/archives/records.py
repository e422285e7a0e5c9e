"""Converts between records and events: those of KServe's agent, and those of archives, which have some fields more.

KServe's `LogRequest` has a name, a type, a body in base64 and headers by name. Its archives in CSV and Parquet have
objects as JSON text. A record that is written here has what REDACT and METADATA_FIELDS leave of it. Pure code.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from request_logger.common.json import dumps, loads
from request_logger.common.mapped_fields import COMPONENT, STATUS
from request_logger.documents.event import BadEventError, Body, Event, from_attributes, kept_body, kind_of
from request_logger.documents.event_metadata import KINDS, MOST_BYTES, RECORDED, UNINDEXED, dropped, is_wanted
from request_logger.settings import Settings

# Field of a record -> attribute of CloudEvents.
_TEXTS = MappingProxyType(
    {
        "id": "id",
        "reqType": "type",
        "requestId": "requestid",
        "modelId": "modelid",
        "inferenceService": "inferenceservicename",
        "namespace": "namespace",
        "endpoint": "endpoint",
        "sourceUri": "source",
        "occurrenceTime": "time",
        "traceparent": "traceparent",
    }
)
_EXTENSIONS = MappingProxyType(
    {
        "metadata": "metadata",
        "annotations": "annotations",
        "component": "component",
        "recordedTime": "recordedtime",
        "statusCode": "statuscode",
    }
)
# Field of a record -> field of a part: see event_metadata.read_extensions.
_KEPT = MappingProxyType(
    {
        "metadata": "metadata",
        "annotations": "annotations",
        "component": COMPONENT,
        "recordedTime": RECORDED,
        "statusCode": STATUS,
        "unindexed": UNINDEXED,
    }
)
_DROPPED, _REDACTED, _UNINDEXED, _BYTES, _CONTENT_TYPE = "dropped", "redacted", "unindexed", "bytes", "contentType"
FIELDS = (*_TEXTS, _CONTENT_TYPE, _BYTES, *_EXTENSIONS, _UNINDEXED, _DROPPED, _REDACTED)
"""All fields of a record that are read and written."""
BINARY, TEXTS = _BYTES, (*_TEXTS, _CONTENT_TYPE, "component", "recordedTime")
"""The fields of a record that are bytes, and texts."""
OBJECTS = ("metadata", "annotations", _UNINDEXED, _DROPPED)
"""The fields that are objects: JSON text in tables."""
# Go matches names regardless of their case, and versions of KServe before 0.17 write Id and ReqType.
_BY_LOWER_NAME = {name.lower(): name for name in FIELDS}
_SPELLING = {"Requestid": "requestId", "Id": "id", "Type": "reqType"}
# Go's time of a field that was never set.
_ZERO_TIME = "0001-01-01T00:00:00Z"
# The largest integer that an index takes.
_MOST_SIZE = 2**63 - 1
_MOST_REASON_CHARACTERS = 500
_DIGEST_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Record:
    """One event as a record. ``fields`` has the values of FIELDS that it has."""

    fields: Mapping[str, Any]

    @property
    def redacted_by(self) -> str:
        """The rules by which an archive's record is redacted (Redactor.fingerprint), empty if it isn't."""
        found = self.fields.get(_REDACTED)
        return found if isinstance(found, str) else ""

    @property
    def has_time(self) -> bool:
        """Whether it says when the event occurred: records of KServe 0.17, and its CSV and Parquet, don't."""
        return "occurrenceTime" in self.fields

    def event(self, settings: Settings, time: str = "") -> Event:
        """Return the event; ``time`` is that of a record without one, empty if it isn't known.

        Raises BadEventError, which names the field and what was expected, and IgnoredEventError for a type that isn't
        stored.
        """
        attributes = self.attributes(time)
        event = from_attributes(attributes, self._body(settings), settings, lambda name: _SPELLING.get(name, name))
        if _UNINDEXED in self.fields and event.part in ("request", "response"):
            event.extensions = _with_unindexed(event.extensions or {}, self.fields[_UNINDEXED], settings) or None
        return event

    def attributes(self, time: str = "") -> dict[str, Any]:
        """Return the attributes of the CloudEvent; ``time`` as for `event`. Raises BadEventError."""
        attributes: dict[str, Any] = {} if self.has_time else {"time": time}
        for name, attribute in _TEXTS.items():
            value = self.fields.get(name)
            if value is None:
                continue
            if name == "sourceUri" and isinstance(value, dict):
                value = _url(value)
            if not isinstance(value, str):
                raise BadEventError(f"{name}: expected text, found {kind_of(value)}")
            attributes[attribute] = value
        for name, attribute in _EXTENSIONS.items():
            if name in self.fields:
                attributes[attribute] = self.fields[name]
        return attributes

    def _body(self, settings: Settings) -> Body:
        content_type, raw = self.content_type, self.content
        if raw is None:
            return _dropped_body(self.fields[_DROPPED], content_type)
        return kept_body(raw, content_type, settings)

    @property
    def content_type(self) -> str:
        """The body's type, empty if it isn't known. Raises BadEventError."""
        content_type = self.fields.get(_CONTENT_TYPE, "")
        if not isinstance(content_type, str):
            raise BadEventError(f"{_CONTENT_TYPE}: expected text, found {kind_of(content_type)}")
        return content_type

    @property
    def content(self) -> bytes | None:
        """The body as received, None for a record that has only its size. Raises BadEventError."""
        raw = self.fields.get(_BYTES)
        if raw is None and _DROPPED in self.fields:
            return None
        if isinstance(raw, str):
            try:
                raw = base64.b64decode("".join(raw.split()), validate=True)
            except (binascii.Error, ValueError):
                raise BadEventError(f"{_BYTES}: expected base64 text") from None
        if raw is not None and not isinstance(raw, bytes):
            raise BadEventError(f"{_BYTES}: expected base64 text, found {kind_of(raw)}")
        return raw or b""

    def row(self, event: Event, redacted_by: str) -> dict[str, Any]:
        """Return the record as it may be archived; ``event`` is its own, as it is stored.

        ``redacted_by`` are the rules that apply to its deployment, empty without any: then the body is unchanged,
        also if it is too large for the search engine.
        """
        row = {name: self.fields[name] for name in _TEXTS if name in self.fields}
        if isinstance(row.get("sourceUri"), dict):
            row["sourceUri"] = _url(row["sourceUri"])
        if not self.has_time and event.time:
            row["occurrenceTime"] = event.time
        extensions = event.extensions if event.part in ("request", "response") else None
        for name, field in _KEPT.items():
            if extensions and field in extensions:
                row[name] = extensions[field]
        body = event.body
        if not redacted_by and _BYTES in self.fields:
            row |= {name: self.fields[name] for name in (_CONTENT_TYPE, _BYTES) if name in self.fields}
            return row
        if body.content_type:
            row[_CONTENT_TYPE] = body.content_type
        if body.raw is None:
            known = {"bytes": body.size, "sha256": body.sha256, "reason": body.reason}
            row[_DROPPED] = {name: value for name, value in known.items() if value}
        elif body.raw or _BYTES in self.fields:
            row[_BYTES] = base64.b64encode(body.raw).decode()
        if redacted_by:
            row[_REDACTED] = redacted_by
        return row


def record_of(value: object) -> Record:
    """Return a record from a parsed object or a table's row. Raises BadEventError if it is none."""
    if not isinstance(value, dict):
        raise BadEventError(f"event: expected a JSON object, found {kind_of(value)}")
    fields: dict[str, Any] = {}
    for given, entry in value.items():
        name = given if given in FIELDS else _BY_LOWER_NAME.get(str(given).lower(), "")
        if not name or entry is None or (entry == "" and name != _BYTES):
            continue
        if name == "occurrenceTime" and entry == _ZERO_TIME:
            continue
        fields[name] = _object(entry) if name in (_UNINDEXED, _DROPPED) else entry
    return Record(fields)


def is_record(value: Mapping[str, Any]) -> bool:
    """Return whether an object of a file is a record, and not a CloudEvent."""
    return "reqType" in value or any(name.lower() == "reqtype" for name in value)


def _object(value: Any) -> Any:
    """Return an object that may be JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return loads(value)
    except ValueError:
        return value


def _url(parts: Mapping[str, Any]) -> str:
    """Return the URL of Go's `url.URL`, which its JSON has as an object; without its credentials."""
    scheme, opaque, host, path, query, fragment = (
        text if isinstance(text := parts.get(name), str) else ""
        for name in ("Scheme", "Opaque", "Host", "Path", "RawQuery", "Fragment")
    )
    start = f"{scheme}:" if scheme else ""
    middle = opaque or (f"//{host}{path}" if host or scheme else path)
    return f"{start}{middle}{f'?{query}' if query else ''}{f'#{fragment}' if fragment else ''}"


def _dropped_body(value: Any, content_type: str) -> Body:
    """Return a body of which an archive has only the size. Raises BadEventError."""
    size = value.get("bytes", 0) if isinstance(value, dict) else None
    if type(size) is not int or not 0 <= size <= _MOST_SIZE:
        raise BadEventError(f"{_DROPPED}: expected an object with the size in bytes")
    sha256, reason = (text if isinstance(text := value.get(name), str) else "" for name in ("sha256", "reason"))
    return Body(None, content_type, size, sha256[:_DIGEST_CHARACTERS], reason[:_MOST_REASON_CHARACTERS])


def _with_unindexed(extensions: dict[str, Any], given: Any, settings: Settings) -> dict[str, Any]:
    """Return the fields of an event's part with the values that could not be indexed when they were archived."""
    if not isinstance(given, dict):
        return extensions
    wanted = settings.metadata_fields
    kept = {
        kind: {name: entry for name, entry in value.items() if is_wanted(kind, name, wanted)}
        if kind in KINDS and isinstance(value, dict) and not _is_size(value)
        else value
        for kind, value in given.items()
    }
    size = len(dumps(kept))
    if size > len(KINDS) * 2 * MOST_BYTES:
        kept = {"archive": dropped(size, f"expected at most {2 * MOST_BYTES} bytes")}
    kept = {name: value for name, value in {**kept, **extensions.get(UNINDEXED, {})}.items() if value != {}}
    return {**extensions, UNINDEXED: kept} if kept else extensions


def _is_size(value: Mapping[str, Any]) -> bool:
    """Return whether this is what is kept of a value that is not stored."""
    return value.keys() == {"bytes", "reason"}
