"""What the routes hand to the forwarder: a request's own bytes; what isn't a CloudEvent becomes one in binary mode."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from request_logger.archives.records import Record
from request_logger.documents.event import Event, join_key_of
from request_logger.forward import Forwarder, Message, binary_message, message_of
from request_logger.ingest.memory_budget import Budget, RequestTooLargeError, Share
from request_logger.server.request_body import BodyStream
from request_logger.store.changes import StoreUnavailableError

_SOURCE = "request-logger/v1/feedback"


class Original:
    """The bytes of one request as received, kept until it is answered if there is a forwarder. A context manager.

    They count towards the memory budget. Where it has no room for them the event is stored anyway, and not forwarded.
    """

    def __init__(self, forwarder: Forwarder | None, budget: Budget, most_bytes: int) -> None:
        self._forwarder = forwarder
        self._share: Share | None = budget.share() if forwarder is not None else None
        self._most_bytes = most_bytes
        self._pieces: list[bytes | bytearray] = []
        self._size = 0

    def keep(self, piece: bytes | bytearray) -> None:
        """Keep a piece of the body, in addition to earlier ones."""
        if self._share is None:
            return
        try:
            self._size += len(piece)
            if self._size > self._most_bytes:
                raise RequestTooLargeError("body: larger than FORWARD_MEMORY_BYTES allows")
            self._share.take(len(piece))
        except (StoreUnavailableError, RequestTooLargeError):
            self._end()
        else:
            self._pieces.append(piece)

    def copying(self, stream: BodyStream) -> BodyStream:
        """Return a stream that keeps what is read from it."""
        return stream if self._share is None else _Copying(stream, self)

    def forward(self, headers: Mapping[str, str]) -> None:
        """Hand the request to the forwarder."""
        if self._share is not None and self._forwarder is not None:
            self._forwarder.offer(message_of(headers, b"".join(self._pieces)))
        elif self._forwarder is not None:
            self._forwarder.dropped()

    def _end(self) -> None:
        if self._share is not None:
            self._share.give_back()
            self._share = None
        self._pieces = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()


class _Copying:
    def __init__(self, stream: BodyStream, original: Original) -> None:
        self.length = stream.length
        self._stream = stream
        self._original = original

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._original.keep(data)
        return data


def feedback_message(event: Event, event_type: str) -> Message:
    """Return feedback that came without a CloudEvent as one in binary mode.

    ``joinkey`` is the join key that its request id is a value of.
    """
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": _SOURCE,
        "type": event_type,
        "time": event.time,
        "joinkey": join_key_of(event),
        "requestid": event.request_id,
        "inferenceservicename": event.header.get("Ce-Inferenceservicename"),
        "modelid": event.header.get("Ce-Modelid"),
        "namespace": event.header.get("Ce-Namespace"),
        "endpoint": event.header.get("Ce-Endpoint"),
    }
    return binary_message(attributes, event.body.raw or b"", event.body.content_type)


def record_message(record: Record, event: Event) -> Message:
    """Return a record of POST /v1/marshal, whose event was stored, as a CloudEvent in binary mode."""
    attributes = {"specversion": "1.0", **record.attributes(event.time or "")}
    return binary_message(attributes, record.content or b"", record.content_type)
