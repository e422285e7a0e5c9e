"""Converts a record to the content of a dead letter and back. Pure code, without a Kafka client."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from request_logger.ingest.redaction import Redactor
from request_logger.kafka.binding import origin_of
from request_logger.kafka.record import Headers, Record

INDEX = "kafka:"
"""Prefix of the topic in the ``index`` field of a dead letter, where documents have the name of their index."""


@dataclass(frozen=True, slots=True)
class DeadLetterContent:
    """What a dead letter may store; ``value`` and ``key`` are None where REDACT has rules for the deployment."""

    headers: Headers
    value: bytes | None
    key: bytes | None


class NoRecordError(ValueError):
    """A dead letter has no record that can be retried; the text says why."""


def redacted(record: Record, redactor: Redactor) -> DeadLetterContent:
    """Return what REDACT allows to be stored of a record.

    Rules can't be applied to a value that is not an event, so the whole value is removed. Where the headers don't name
    the deployment, the rules of all deployments apply.
    """
    origin = origin_of(record)
    if not redactor.applies(*origin):
        return DeadLetterContent(record.headers, record.value, record.key)
    return DeadLetterContent(redactor.headers(record.headers, *origin), None, None)


def content(record: Record, redactor: Redactor) -> dict[str, Any]:
    """Return the JSON object that the dead-letter index stores of a record; `record_of` is its inverse."""
    stored = redacted(record, redactor)
    found: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "headers": [[name, value.decode("latin-1") if value is not None else None] for name, value in stored.headers],
        "bytes": len(record.value),
    }
    if stored.value is not None:
        found["value_base64"] = base64.b64encode(stored.value).decode()
        found["key_base64"] = base64.b64encode(stored.key).decode() if stored.key is not None else None
    return found


def record_of(found: Any) -> Record:
    """Return the record of a dead letter's content. Raises NoRecordError."""
    if not isinstance(found, dict):
        raise NoRecordError("there is no record in it")
    if "value_base64" not in found:
        raise NoRecordError("its value was not kept, since REDACT has rules for it")
    try:
        return Record(
            topic=str(found["topic"]),
            partition=int(found["partition"]),
            offset=int(found["offset"]),
            timestamp=found["timestamp"],
            key=base64.b64decode(found["key_base64"]) if found.get("key_base64") is not None else None,
            headers=tuple(
                (str(name), value.encode("latin-1") if value is not None else None) for name, value in found["headers"]
            ),
            value=base64.b64decode(found["value_base64"], validate=True),
        )
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise NoRecordError(f"there is no whole record in it ({error!r:.80})") from None
