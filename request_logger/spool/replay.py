"""One pass over the spool: its events are given to the store, the oldest first. No threads."""

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

Row = tuple[int, bytes]


class Replay:
    """Goes through the spool batch by batch: `begin` a batch, wait until `is_done`, `finish` it.

    What the store doesn't take stays in the spool and holds nothing else up: the next batch begins after it. ``submit``
    queues an event at the store. ``count`` is the number of events that have left the spool.
    """

    def __init__(
        self, spool: Spool, submit: Callable[[Event], Future[Any]], observer: Observer, batch_bytes: int
    ) -> None:
        self._spool = spool
        self._submit = submit
        self._observer = observer
        self._batch_bytes = batch_bytes
        self._after = 0
        self._under_way: list[tuple[Future[Any], Row]] = []
        self._bad: list[tuple[Row, str]] = []
        self.count = 0

    def begin(self) -> bool:
        """Submit the next batch; return False where there is none, or the store takes nothing. Raises sqlite3.Error."""
        rows = self._spool.read(BATCH_EVENTS, self._batch_bytes, after=self._after)
        for row in rows:
            try:
                self._under_way.append((self._submit(from_bytes(row[1])), row))
            except StoreUnavailableError:
                # The store takes nothing more now: those under way make room, else this pass is over.
                break
            except Exception as error:
                # What an event's own content breaks is no reason to lose it: see Spool.set_aside.
                self._bad.append((row, type(error).__name__))
            self._after = row[0]
        return bool(self._under_way or self._bad)

    @property
    def is_done(self) -> bool:
        """Whether it is known what became of the whole batch."""
        return all(future.done() for future, _ in self._under_way)

    def wait(self, seconds: float) -> None:
        """Wait for the batch, at most so long."""
        for future, _ in self._under_way:
            if not future.done():
                with suppress(TimeoutError):
                    future.exception(seconds)
                return

    def finish(self) -> None:
        """Remove what is stored, set aside what never can be; what is unknown stays. Raises sqlite3.Error, OSError."""
        under_way, self._under_way = self._under_way, []
        bad, self._bad = self._bad, []
        stored = []
        for future, row in under_way:
            failure = future.exception() if future.done() else StoreUnavailableError()
            if failure is None:
                stored.append(row)
            elif not isinstance(failure, StoreUnavailableError):
                # An engine's reason may quote the document.
                bad.append((row, type(failure).__name__))
        self._spool.remove(stored)
        self._observer.replayed(len(stored))
        for row, reason in bad:
            # It can't ever be stored: it must not stand in the way of the others.
            self._spool.set_aside(row, reason)
        self.count += len(stored) + len(bad)
