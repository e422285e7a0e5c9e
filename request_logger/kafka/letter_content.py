"""What a dead letter keeps of a record, and the record again. Pure code; no Kafka client is needed for it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from request_logger.ingest.redaction import Redactor
from request_logger.kafka.binding import Headers, Record, origin_of

INDEX = "kafka:"
"""Of the letters in the dead-letter index: in front of the topic, where others have the name of an index."""


@dataclass(frozen=True, slots=True)
class LetterContent:
    """What may be kept. ``value`` and ``key`` are None where REDACT has rules for the record's deployment."""

    headers: Headers
    value: bytes | None
    key: bytes | None


class NotKeptError(ValueError):
    """The letter has no record that can be read again; the text says why."""


def kept(record: Record, redactor: Redactor) -> LetterContent:
    """Leave out what REDACT names. Of a value that is no event nobody can say where in it that is: all of it goes.

    Where the headers don't say whose record it is, it may be anybody's: all rules apply.
    """
    origin = origin_of(record)
    if not redactor.applies(*origin):
        return LetterContent(record.headers, record.value, record.key)
    return LetterContent(redactor.headers(record.headers, *origin), None, None)


def content(record: Record, redactor: Redactor) -> dict[str, Any]:
    """Give what the dead-letter index has of a record, as `record_of` reads it."""
    part = kept(record, redactor)
    found: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "headers": [[name, value.decode("latin-1") if value is not None else None] for name, value in part.headers],
        "bytes": len(record.value),
    }
    if part.value is not None:
        found["value_base64"] = base64.b64encode(part.value).decode()
        found["key_base64"] = base64.b64encode(part.key).decode() if part.key is not None else None
    return found


def record_of(found: Any) -> Record:
    """Give the record of a letter's content. Raises NotKeptError."""
    if not isinstance(found, dict):
        raise NotKeptError("there is no record in it")
    if "value_base64" not in found:
        raise NotKeptError("its value was not kept, since REDACT has rules for it")
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
        raise NotKeptError(f"there is no whole record in it ({error!r:.80})") from None
