"""One pass over the spool: submits its events to the store, the oldest first. No threads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from request_logger.documents.event import Event
from request_logger.spool.disk import Spool
from request_logger.spool.observer import Observer
from request_logger.spool.record import from_bytes
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.future import Future

BATCH_EVENTS = 500
"""Events per batch, all of which are in flight at once."""

Row = tuple[int, bytes]


class Replay:
    """Replays the spool batch by batch: `begin` a batch, wait until `is_done`, `finish` it.

    Events that the store doesn't accept stay in the spool without blocking others: the next batch begins after them.
    ``submit`` queues an event at the store. ``count`` is the number of events that have left the spool. Not
    thread-safe.
    """

    def __init__(
        self, spool: Spool, submit: Callable[[Event], Future[Any]], observer: Observer, batch_bytes: int
    ) -> None:
        self._spool = spool
        self._submit = submit
        self._observer = observer
        self._batch_bytes = batch_bytes
        self._after = 0
        self._in_flight: list[tuple[Future[Any], Row]] = []
        self._bad: list[tuple[Row, str]] = []
        self.count = 0

    def begin(self) -> bool:
        """Submit the next batch; return False if there is none, or the store accepts nothing. Raises sqlite3.Error."""
        rows = self._spool.read(BATCH_EVENTS, self._batch_bytes, after=self._after)
        for row in rows:
            try:
                self._in_flight.append((self._submit(from_bytes(row[1])), row))
            except StoreUnavailableError:
                # The store's queue is full: the events in flight make room; without any, this pass is over.
                break
            except Exception as error:
                # An event whose content makes this program fail must not be lost: see Spool.set_aside.
                self._bad.append((row, type(error).__name__))
            self._after = row[0]
        return bool(self._in_flight or self._bad)

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
