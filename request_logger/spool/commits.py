"""Group commit of the spool: records that a process appends at nearly the same time share one transaction.

A commit costs as much CPU time as twenty events (docs/spool.md). In ordinary traffic the events of a worker are some
milliseconds apart, so that without a wait each has its own. They wait as those for the search engine do
(`request_logger.store.writing.linger`), only shorter: a sender that has no other event in flight is answered at once.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.linger import Linger

MOST_LINGER_SECONDS = 0.01
"""As long as an fsync takes on a slow disk. Measured at 467 events/s over 10 connections on a busy machine: 5.5 events
share a commit, and 3.5 without the wait."""
# Records that are committed without waiting for more: their own fsync takes longer than that of an empty transaction.
_ENOUGH_BYTES = 2**20


@dataclass(slots=True, eq=False)
class Entry:
    """A record to be committed. ``error`` is why it is not on disk, None once it is."""

    record: bytes
    done: bool = False
    error: StoreUnavailableError | None = field(default_factory=lambda: StoreUnavailableError("it was not spooled"))


class Commits:
    """Collects what threads append, and commits it together. Thread-safe.

    ``commit`` writes entries, and sets their ``done`` and ``error``; it never runs twice at a time. ``linger_seconds``
    is how long a record that is appended alone waits for others; several at once don't wait.
    """

    def __init__(self, commit: Callable[[Sequence[Entry]], None], linger_seconds: float = 0.0) -> None:
        self._commit = commit
        self._linger_seconds = linger_seconds
        self._linger = Linger(_ENOUGH_BYTES)
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[list[Entry]] = deque()
        # When the waiting thread wakes by itself; minus infinity while no thread waits.
        self._wakes_at = -math.inf
        # Held by the thread that waits for others and commits.
        self._committing = threading.Lock()

    @property
    def in_flight(self) -> int:
        """The number of calls that wait for a commit, or are being committed."""
        return self._linger.in_flight

    def append(self, records: Sequence[bytes]) -> list[StoreUnavailableError | None]:
        """Commit records in one transaction, the oldest first; return the error of each, None for those on disk."""
        if not records:
            return []
        entries = [Entry(record) for record in records]
        now = time.monotonic()
        until = now + self._linger_seconds if len(records) == 1 else now
        with self._changed:
            self._waiting.append(entries)
            self._linger.arrived(now, until, sum(map(len, records)))
            if self._linger.send_at() < self._wakes_at:
                self._changed.notify()
        # Unlike threads, greenlets don't run during a commit: yield, so that others can queue their events first.
        time.sleep(0)
        with self._committing:
            # The first thread to enter commits the events of all that queued until then.
            if not all(entry.done for entry in entries):
                self._commit_all()
        return [entry.error for entry in entries]

    def _commit_all(self) -> None:
        with self._changed:
            while (end := self._linger.send_at()) > (now := time.monotonic()):
                self._wakes_at = end
                self._changed.wait(end - now)
                self._wakes_at = -math.inf
            groups = list(self._waiting)
            self._waiting.clear()
            self._linger.sent(now)
        try:
            self._commit([entry for group in groups for entry in group])
        finally:
            for _ in groups:
                self._linger.finished()
