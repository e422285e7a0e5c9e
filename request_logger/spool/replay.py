"""One pass over the spool: submits its events to the store, the oldest first. No threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from request_logger.documents.event import Event
from request_logger.spool.disk import Spool
from request_logger.spool.observer import Observer
from request_logger.spool.record import from_bytes
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.future import Future

BATCH_EVENTS = 500
"""Events per batch, all of which are in flight at once."""
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
    """Replays the spool batch by batch: `begin` a batch, wait until `is_done`, `finish` it.

    A batch is decoded first and then queued at once, so that the store joins the events of one document into one write.
    Events that the store doesn't accept stay in the spool without blocking others: the next batch begins after them.
    ``prepare`` decodes an event. ``batch_bytes`` limits the records and, separately, the decoded events in memory,
    except for a single larger one. ``count`` is the number of events that have left the spool. Not thread-safe.
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
        self._after = 0
        self._in_flight: list[tuple[Future[Any], Row]] = []
        self._bad: list[tuple[Row, str]] = []
        self.count = 0
        self.is_full = False
        """Whether the latest batch was limited by its size, so that there may be older events than those to come."""

    def begin(self) -> bool:
        """Submit the next batch; return False if there is none, or the store accepts nothing. Raises sqlite3.Error."""
        decoded: list[tuple[Submission, Row]] = []
        held = 0
        rows = self._spool.read(self._batch_events, self._batch_bytes, after=self._after)
        self.is_full = len(rows) == self._batch_events or sum(len(record) for _, record in rows) * 2 > self._batch_bytes
        for number, row in enumerate(rows):
            if number % _EVENTS_PER_TURN == 0:
                time.sleep(0)
            try:
                submission = self._prepare(from_bytes(row[1]))
            except Exception as error:
                # An event whose content makes this program fail must not be lost: see Spool.set_aside.
                self._bad.append((row, type(error).__name__))
                continue
            if held and held + submission.held_bytes > self._batch_bytes:
                # The rest of the rows is the next batch.
                self.is_full = True
                break
            held += submission.held_bytes
            decoded.append((submission, row))
        self._queue(decoded)
        return bool(self._in_flight or self._bad)

    def _queue(self, decoded: Sequence[tuple[Submission, Row]]) -> None:
        """Queue decoded events at the store, as far as it has room."""
        for submission, row in decoded:
            try:
                self._in_flight.append((submission.queue(), row))
            except StoreUnavailableError:
                # The events in flight make room; without any, this pass is over.
                return
            except Exception as error:
                self._bad.append((row, type(error).__name__))
            self._after = row[0]

    @property
    def is_done(self) -> bool:
        """Whether all events of the batch have their results."""
        return all(future.done() for future, _ in self._in_flight)

    def wait(self, seconds: float) -> None:
        """Wait for the batch's first event without a result, for at most ``seconds``."""
        for future, _ in self._in_flight:
            if not future.done():
                with suppress(TimeoutError):
                    future.exception(seconds)
                return

    def finish(self) -> None:
        """Remove stored events and set rejected ones aside; the others stay. Raises sqlite3.Error and OSError."""
        in_flight, self._in_flight = self._in_flight, []
        bad, self._bad = self._bad, []
        stored = []
        for future, row in in_flight:
            failure = future.exception() if future.done() else StoreUnavailableError()
            if failure is None:
                stored.append(row)
            elif not isinstance(failure, StoreUnavailableError):
                # The type only: the search engine's reason may quote the document.
                bad.append((row, type(failure).__name__))
        self._spool.remove(stored)
        self._observer.replayed(len(stored))
        for row, reason in bad:
            # It can never be stored, and must not be replayed again.
            self._spool.set_aside(row, reason)
        self.count += len(stored) + len(bad)
