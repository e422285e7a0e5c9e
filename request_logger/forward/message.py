"""What is forwarded: the headers and the body of one request, unchanged. Pure code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from request_logger.common.json import dumps
from request_logger.spool.record import frame, unframe

FORWARDED = "x-request-logger-forwarded"
"""The header of forwarded requests. One that has it is stored and not forwarded: two loggers can't form a loop."""

# In addition to ce-...: the rest of a request, such as its credentials, is for this logger only.
_KEPT = frozenset(("content-type", "content-encoding", "traceparent", "tracestate", FORWARDED))
_EVENT = "ce-"
# Measured with CPython 3.11: a message with the 12 headers of Seldon's executor and an empty body takes 2,000 bytes.
MESSAGE_BYTES = 2_000
"""Estimate of the memory that a message holds in addition to its body."""


@dataclass(frozen=True, slots=True)
class Message:
    """One request: a single event, or a batch. ``headers`` has lower-case names and latin-1 values."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def weight(self) -> int:
        """Estimated memory that it holds (bytes)."""
        return len(self.body) + MESSAGE_BYTES


def message_of(headers: Mapping[str, str], body: bytes | bytearray) -> Message:
    """Return the message that repeats a request. ``headers`` has lower-case names."""
    kept = {name: value for name, value in headers.items() if name.startswith(_EVENT) or name in _KEPT}
    return Message(kept, bytes(body))


def binary_message(attributes: Mapping[str, Any], body: bytes, content_type: str | None) -> Message:
    """Return an event in CloudEvents' binary mode. Attributes that are empty or None are left out.

    Texts are written as UTF-8, as Seldon's and KServe's senders do; objects and lists as JSON.
    """
    headers = {f"{_EVENT}{name}": _as_header(value) for name, value in attributes.items() if value not in (None, "")}
    return Message({**headers, **({"content-type": content_type} if content_type else {})}, body)


def _as_header(value: Any) -> str:
    text = value if isinstance(value, str) else dumps(value).decode()
    # A header has one line: a control character would end it, or make it invalid.
    printable = "".join(character if character >= " " and character != "\x7f" else " " for character in text)
    return printable.encode("utf-8", "replace").decode("latin-1").strip()


def to_record(message: Message) -> bytes:
    """Serialise a message for the disk."""
    return frame({"headers": dict(message.headers)}, message.body)


def from_record(record: bytes) -> Message:
    """Return the message that `to_record` serialised. Raises ValueError if the record is damaged."""
    attributes, body = unframe(record)
    headers = attributes.get("headers")
    if not isinstance(headers, dict):
        raise ValueError("a record of the forward spool has no headers")
    return Message(headers, body)
