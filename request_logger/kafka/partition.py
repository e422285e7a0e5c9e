"""The pending records of one partition, in offset order, which gives the offset to commit. Pure code."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

from request_logger.documents.event import Event
from request_logger.kafka.record import Record
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.future import Future

DONE: Future[Any] = Future()
"""The future of a record that needs no write, such as one of another namespace."""
DONE.set_result(None)
NOT_SENT: Future[Any] = Future()
"""The future of a record that was not submitted yet."""


@dataclass(slots=True, eq=False)
class PendingRecord:
    """One pending record.

    ``send`` submits it, also again, and is None where nothing is to be written; ``event`` is None for a dead letter;
    ``weight`` is the memory that it holds (bytes).
    """

    record: Record
    send: Callable[[], Future[Any]] | None = None
    event: Event | None = None
    weight: int = 0
    future: Future[Any] = DONE

    def start(self) -> None:
        """Submit it if it is to be written; if the store rejects it now, its future fails as if it had failed later."""
        if self.send is None:
            return
        try:
            self.future = self.send()
        except StoreUnavailableError as error:
            self.future = Future()
            self.future.set_exception(error)

    @property
    def failed(self) -> bool:
        """Whether its write has failed."""
        return self.future.done() and self.future.exception() is not None


class Partition:
    """The pending records of one partition and its offsets. Owned by the consumer's thread."""

    def __init__(self, topic: str, number: int) -> None:
        self.topic = topic
        self.number = number
        self.started: int | None = None
        """The offset of the first record that was read."""
        self.position: int | None = None
        """The offset after the last finished record that no unfinished one precedes."""
        self.committed: int | None = None
        """The offset that Kafka has acknowledged."""
        self.requested: int | None = None
        """The offset of the latest commit request."""
        self.bytes = 0
        self._records: deque[PendingRecord] = deque()

    def __len__(self) -> int:
        return len(self._records)

    @property
    def head(self) -> PendingRecord | None:
        """The oldest pending record."""
        return self._records[0] if self._records else None

    def add(self, pending: PendingRecord) -> None:
        """Append a record; the caller keeps to offset order."""
        if self.started is None:
            self.started = pending.record.offset
        self._records.append(pending)
        self.bytes += pending.weight

    def finished(self) -> PendingRecord | None:
        """Remove and return the oldest record if it is stored, else None."""
        if not self._records or not self._records[0].future.done() or self._records[0].failed:
            return None
        pending = self._records.popleft()
        self.bytes -= pending.weight
        self.position = pending.record.offset + 1
        return pending

    def forget_unsent(self) -> None:
        """Remove the first record that was not submitted, and those after it: they are read again from its offset."""
        kept = list(takewhile(lambda pending: pending.future is not NOT_SENT, self._records))
        self.bytes -= sum(pending.weight for pending in islice(self._records, len(kept), None))
        self._records = deque(kept)

    def failed(self) -> list[PendingRecord]:
        """Return all records whose write has failed."""
        return [pending for pending in self._records if pending.failed]

    @property
    def to_commit(self) -> int | None:
        """The offset to commit, None where it is committed or requested already."""
        return None if self.position in (None, self.requested, self.committed) else self.position
