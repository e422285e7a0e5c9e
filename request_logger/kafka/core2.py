"""Converts a record of Seldon Core 2's topics to an Event.

A topic is named ``<prefix>.<namespace>.{model|pipeline}.<name>.{inputs|outputs}``; failed predictions are in
``<prefix>.<namespace>.errors.errors``. The value is a V2 message, as JSON or protobuf, possibly in the frame of a
schema registry. Pure code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from request_logger.common.json import dumps
from request_logger.common.times import instant
from request_logger.documents.event import BadEventError, Event, IgnoredEventError, from_attributes, kept_body
from request_logger.kafka.record import Record
from request_logger.settings import Settings

_REQUEST_ID = "x-request-id"
_INFER_TYPE = "seldon-infer-type"
_PIPELINE = "pipeline"
_FAILED = "seldon-pipeline-errors"
_TYPES = {"inputs": "io.seldon.serving.inference.request", "outputs": "io.seldon.serving.inference.response"}
_JSON = "application/json"
_PROTOBUF = "application/x-protobuf"
# A failed prediction has no HTTP status in Kafka; any status over 399 says that it is none (docs/connect-kserve.md).
_ERROR_STATUS = 500
# How the error of a pipeline itself starts: a step was visited too often.
_PIPELINE_ERROR = "ERROR:"
# Confluent's wire format: a zero byte and the id of the schema. Neither JSON nor protobuf starts with a zero byte.
_MAGIC = 0
_FRAME = 5
# Protobuf in that format also has the path of its type in the schema, a length and as many indexes. Twice a longer
# length could be the first byte of a message, which is 10 or more.
_MOST_INDEXES = 4


@dataclass(frozen=True, slots=True)
class Resource:
    """What the name of a topic says."""

    namespace: str
    kind: str
    """``model``, ``pipeline`` or ``errors``."""
    name: str
    """Empty for ``errors``."""
    direction: str
    """``inputs``, ``outputs`` or ``errors``."""


def subscription(prefix: str) -> str:
    """Return the regular expression that subscribes to all topics of Seldon Core 2 with a prefix."""
    return rf"^{re.escape(prefix)}\.[^.]+\.(errors\.errors|(model|pipeline)\..+\.(inputs|outputs))$"


@lru_cache(maxsize=4096)
def resource_of(topic: str, prefix: str) -> Resource | None:
    """Return what a topic's name says, None if it isn't a topic of Seldon Core 2 with this prefix."""
    if not prefix or not topic.startswith(f"{prefix}."):
        return None
    namespace, _, rest = topic[len(prefix) + 1 :].partition(".")
    kind, _, rest = rest.partition(".")
    name, _, direction = rest.rpartition(".")
    if kind in ("model", "pipeline") and direction in _TYPES and namespace and name:
        return Resource(namespace, kind, name, direction)
    return Resource(namespace, "errors", "", "errors") if (kind, rest) == ("errors", "errors") and namespace else None


def event_of(record: Record, resource: Resource, settings: Settings) -> Event:
    """Return the event of a record. Raises BadEventError if it has no id, or an error no model or pipeline."""
    attributes, value, content_type = attributes_of(record, resource)
    return from_attributes(attributes, kept_body(value, content_type, settings), settings)


def attributes_of(record: Record, resource: Resource) -> tuple[dict[str, Any], bytes, str]:
    """Return a record as CloudEvents attributes, the message without its frame, and its content type.

    Raises BadEventError as `event_of` does, and IgnoredEventError for a record without a value.
    """
    if record.is_tombstone:
        raise IgnoredEventError("tombstone", "value: missing; a record without a value deletes its key")
    headers = _headers(record)
    attributes: dict[str, Any] = {
        "source": record.topic,
        "namespace": resource.namespace,
        "requestid": _request_id(record, resource, headers),
        "traceparent": _text(headers.get("traceparent")),
        "metadata": _metadata(record),
    }
    if record.timestamp is not None:
        attributes["time"] = instant(record.timestamp)
    if resource.kind == "errors":
        text = _text(record.value)
        kind, name, model = _failed(headers, text)
        value, content_type = dumps({"error": text, **({"model": model} if model else {})}), _JSON
        attributes |= {"type": _TYPES["outputs"], "statuscode": _ERROR_STATUS}
    else:
        kind, name = resource.kind, resource.name
        value, content_type = _message(record.value, _text(headers.get(_INFER_TYPE)))
        attributes["type"] = _TYPES[resource.direction]
    attributes |= {"inferenceservicename": name, "endpoint": kind}
    return {attribute: value for attribute, value in attributes.items() if value}, value, content_type


def _text(value: bytes | None) -> str:
    return value.decode("utf-8", "replace") if value else ""


def _headers(record: Record) -> dict[str, bytes]:
    """Return the first value of each header: a model server may have added others, which Core 2 appends."""
    found: dict[str, bytes] = {}
    for name, value in record.headers:
        if value is not None:
            found.setdefault(name.lower(), value)
    return found


def _request_id(record: Record, resource: Resource, headers: dict[str, bytes]) -> str:
    """Return the id in the header, else at the end of the key ``<partition>.<resource>.<id>``.

    The first versions of Core 2 wrote keys without the partition.
    """
    found = _text(headers.get(_REQUEST_ID))
    if found:
        return found
    key = _text(record.key)
    for name in (_text(headers.get(_PIPELINE)), resource.name, _text(headers.get(_FAILED))):
        match = re.match(rf"(?:\d+\.)?{re.escape(name)}\.(.+)", key, re.DOTALL) if name else None
        if match:
            return match[1]
    found = key.rpartition(".")[2]
    if not found:
        raise BadEventError(f"{_REQUEST_ID}: missing, and so is a key; expected the id of the request in one of them")
    return found


def _metadata(record: Record) -> dict[str, list[str]]:
    """Return the headers of the request with all their values, and the pipeline that a model's record belongs to."""
    found: dict[str, list[str]] = {}
    for given, value in record.headers:
        name = given.lower()
        if value is not None and ((name.startswith("x-") and name != _REQUEST_ID) or name == _PIPELINE):
            found.setdefault(name, []).append(_text(value))
    return found


def _failed(headers: dict[str, bytes], error: str) -> tuple[str, str, str]:
    """Return kind and name of what failed: the pipeline, or the model where it was called without one; and its model.

    The header ``pipeline`` has the model's name where there is no pipeline; a pipeline and its steps never have the
    same name. Where a pipeline itself fails, both headers have its name.
    """
    pipeline, model = _text(headers.get(_PIPELINE)), _text(headers.get(_FAILED))
    if not pipeline and not model:
        raise BadEventError(f"{_FAILED}: missing; expected the name of the model that failed")
    if pipeline == model and error.startswith(_PIPELINE_ERROR):
        return "pipeline", pipeline, ""
    return ("pipeline", pipeline, model) if pipeline and pipeline != model else ("model", model, model)


def _message(value: bytes, infer_type: str) -> tuple[bytes, str]:
    """Return a V2 message without its frame, and its content type."""
    is_framed = len(value) > _FRAME and value[0] == _MAGIC
    message = value[_FRAME:] if is_framed else value
    if infer_type.startswith("json/") or (not infer_type.startswith("proto/") and _is_json(message)):
        return message, _JSON
    return (_without_indexes(message) if is_framed else message), _PROTOBUF


def _is_json(message: bytes) -> bool:
    """Return whether a message looks like JSON. Protobuf may start with white space and a brace: a length follows."""
    if message[:1] in (b"{", b"["):
        return True
    text = message.strip()
    return text[:1] + text[-1:] in (b"{}", b"[]")


def _without_indexes(message: bytes) -> bytes:
    """Return protobuf without the indexes of its type: zigzag varints, their number first; one zero stands for [0].

    In the schemas of V2 messages each index is under 64, so every varint has one byte.
    """
    number = message[0] // 2 if message[:1] else 0
    return message[1 + number :] if number <= _MOST_INDEXES else message
