"""What is under way of one partition: in the order of its offsets, so that what may be committed is known. No Kafka."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from request_logger.documents.event import Event
from request_logger.kafka.binding import Record
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.future import Future

DONE: Future[Any] = Future()
"""Of a record that needs nothing, such as one of another namespace."""
DONE.set_result(None)
UNDONE: Future[Any] = Future()
"""Of a record that was not sent yet."""


@dataclass(slots=True, eq=False)
class Work:
    """One record under way.

    ``send`` starts it, or starts it again, and is None where there is nothing to do; ``event`` is None where the record
    is a dead letter; ``weight`` is what it holds in memory (bytes).
    """

    record: Record
    send: Callable[[], Future[Any]] | None = None
    event: Event | None = None
    weight: int = 0
    future: Future[Any] = DONE

    def start(self) -> None:
        """Send it; what the store can't take now fails the future as it would later."""
        assert self.send is not None
        try:
            self.future = self.send()
        except StoreUnavailableError as error:
            self.future = Future()
            self.future.set_exception(error)

    @property
    def failed(self) -> bool:
        """Whether it is known not to be stored."""
        return self.future.done() and self.future.exception() is not None


class Partition:
    """The records of one partition: those under way, and up to where all are done."""

    def __init__(self, topic: str, number: int) -> None:
        self.topic = topic
        self.number = number
        self.started: int | None = None
        """The offset of the first record."""
        self.position: int | None = None
        """The offset after the last record of the finished ones that have no unfinished one before them."""
        self.committed: int | None = None
        """The offset that Kafka has acknowledged."""
        self.asked: int | None = None
        """The offset of the commit under way, or of the last one."""
        self.bytes = 0
        self._works: deque[Work] = deque()

    def __len__(self) -> int:
        return len(self._works)

    @property
    def head(self) -> Work | None:
        """The oldest record under way."""
        return self._works[0] if self._works else None

    def add(self, work: Work) -> None:
        """Take a record, in the order of the offsets."""
        if self.started is None:
            self.started = work.record.offset
        self._works.append(work)
        self.bytes += work.weight

    def finished(self) -> Work | None:
        """Take the oldest record out if it is stored; None where it isn't, or there is none."""
        if not self._works or not self._works[0].future.done() or self._works[0].failed:
            return None
        work = self._works.popleft()
        self.bytes -= work.weight
        self.position = work.record.offset + 1
        return work

    def failed(self) -> list[Work]:
        """Give all records that are known not to be stored."""
        return [work for work in self._works if work.failed]

    @property
    def to_commit(self) -> int | None:
        """The offset to commit, None where Kafka has it or was asked to."""
        return None if self.position in (None, self.asked, self.committed) else self.position
