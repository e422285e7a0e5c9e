"""Replays the spool: submits its events to the store, the oldest first, and removes what it stored. No threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from request_logger.documents.event import Event
from request_logger.spool.disk import Spool
from request_logger.spool.observer import Observer
from request_logger.spool.record import from_bytes
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.future import Future

BATCH_EVENTS = 500
"""Events per batch."""
MOST_BATCHES = 20
"""Batches in flight: with events of an index that takes none, so many others may still go past them."""
# After so many events are decoded (some ms), requests that arrive get their turn: gevent runs one thread at a time.
_EVENTS_PER_TURN = 10

Row = tuple[int, bytes]


class Submission(Protocol):
    """A decoded event, ready for the store."""

    @property
    def held_bytes(self) -> int:
        """Estimated memory that it holds."""
        ...

    def queue(self) -> Future[Any]:
        """Queue it at the store. Raises StoreUnavailableError when there is no room, other errors when never."""
        ...


class Replay:
    """Replays the spool batch by batch: `begin` a batch, wait until it `is_done` or for a while, `finish` what is done.

    A batch is decoded first and then queued at once, so that the store joins the events of one document into one write.
    Events that the store doesn't accept stay in the spool without blocking others: the next batch begins after them.
    Those that it hasn't decided on stay in flight, up to ``MOST_BATCHES`` batches. ``prepare`` decodes an event.
    ``batch_bytes`` limits the records read at a time and, separately, the decoded events in flight, except for a single
    larger one. Not thread-safe.
    """

    def __init__(
        self,
        spool: Spool,
        prepare: Callable[[Event], Submission],
        observer: Observer,
        batch_bytes: int,
        batch_events: int = BATCH_EVENTS,
    ) -> None:
        self._spool = spool
        self._prepare = prepare
        self._observer = observer
        self._batch_bytes = batch_bytes
        self._batch_events = batch_events
        self._in_flight: dict[int, _Pending] = {}
        self._held_bytes = 0
        self._bad: list[tuple[Row, str]] = []
        self.after = 0
        """The number of the latest event that was submitted or passed over."""
        self.count = 0
        """How many events have left the spool."""
        self.failed = 0
        """How many the store didn't accept: they are still in the spool, at or before ``after``."""
        self.is_full = False
        """Whether there may be further events now: the latest batch was limited by its size, or the store was full."""

    def __contains__(self, number: object) -> bool:
        """Whether an event is in flight."""
        return number in self._in_flight

    def begin(self, last: int | None = None, skip: Container[int] = ()) -> bool:
        """Submit the next batch; return False if there is none, or there is no room for it. Raises sqlite3.Error.

        Events after number ``last`` are left, those in ``skip`` are passed over.
        """
        room = min(self._batch_events, MOST_BATCHES * self._batch_events - len(self._in_flight))
        if room <= 0 or self._held_bytes >= self._batch_bytes:
            self.is_full = True
            return False
        rows = self._spool.read(room, self._batch_bytes, after=self.after)
        # `read` may have ended at ``batch_bytes``, which is likely where the rows take more than half of it.
        self.is_full = len(rows) == room or 2 * sum(len(record) for _, record in rows) > self._batch_bytes
        if last is not None and rows and rows[-1][0] > last:
            rows = [row for row in rows if row[0] <= last]
            self.is_full = False
        before = self.after
        self._queue(self._decoded(rows, skip))
        return self.after > before

    def _decoded(self, rows: Sequence[Row], skip: Container[int]) -> list[tuple[Submission | None, Row]]:
        """Decode events, as far as they fit into memory; those to pass over, or to set aside, have None."""
        decoded: list[tuple[Submission | None, Row]] = []
        held = self._held_bytes
        for position, row in enumerate(rows):
            if position % _EVENTS_PER_TURN == 0:
                time.sleep(0)
            submission = None
            if row[0] not in skip:
                try:
                    submission = self._prepare(from_bytes(row[1]))
                except Exception as error:
                    # An event whose content makes this program fail must not be lost: see Spool.set_aside.
                    self._bad.append((row, type(error).__name__))
            if submission is not None:
                if held and held + submission.held_bytes > self._batch_bytes:
                    # The rest of the rows is the next batch.
                    self.is_full = True
                    break
                held += submission.held_bytes
            decoded.append((submission, row))
        return decoded

    def _queue(self, decoded: Sequence[tuple[Submission | None, Row]]) -> None:
        """Queue decoded events at the store, as far as it has room."""
        for submission, row in decoded:
            if submission is not None:
                try:
                    self._in_flight[row[0]] = _Pending(submission.queue(), row, submission.held_bytes)
                    self._held_bytes += submission.held_bytes
                except StoreUnavailableError:
                    # The events in flight make room.
                    self.is_full = True
                    return
                except Exception as error:
                    self._bad.append((row, type(error).__name__))
            self.after = row[0]

    @property
    def is_done(self) -> bool:
        """Whether no event is in flight without a result."""
        return all(pending.future.done() for pending in self._in_flight.values())

    def wait(self, seconds: float) -> None:
        """Wait for the latest event without a result, for at most ``seconds``: earlier ones may be stuck."""
        for pending in reversed(self._in_flight.values()):
            if not pending.future.done():
                with suppress(TimeoutError):
                    pending.future.exception(seconds)
                return

    def finish(self) -> None:
        """Remove stored events and set rejected ones aside; the others stay. Raises sqlite3.Error and OSError."""
        bad, self._bad = self._bad, []
        stored = []
        for number, pending in list(self._in_flight.items()):
            if not pending.future.done():
                continue
            del self._in_flight[number]
            self._held_bytes -= pending.held_bytes
            failure = pending.future.exception()
            if failure is None:
                stored.append(pending.row)
            elif isinstance(failure, StoreUnavailableError):
                self.failed += 1
            else:
                # The type only: the search engine's reason may quote the document.
                bad.append((pending.row, type(failure).__name__))
        self._spool.remove(stored)
        self._observer.replayed(len(stored))
        for row, reason in bad:
            # It can never be stored, and must not be replayed again.
            self._spool.set_aside(row, reason)
        self.count += len(stored) + len(bad)


@dataclass(frozen=True, slots=True)
class _Pending:
    """An event in flight."""

    future: Future[Any]
    row: Row
    held_bytes: int
