"""A replica's spool in a schedule: for events that the engine can't accept, or as the queue of all events."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from request_logger.documents.event import Event
from request_logger.ingest.memory_budget import RequestTooLargeError
from request_logger.spool import BATCH_EVENTS, EventTooLargeError, Spool
from request_logger.spool.observer import NullObserver
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.future import Future
from tests.simulation.process import Process

# A spool there costs no disk: each of its writes is synchronous.
_MEMORY = "/dev/shm"
_FALLBACK_SHARE = 0.15
_ALWAYS_SHARE = 0.15


class Spooling:
    """A spool on disk, which the first replica replays."""

    def __init__(self, rng: random.Random, *, queues_all: bool) -> None:
        self.queues_all = queues_all
        """Whether every event that comes by HTTP is acknowledged once it is in the spool (QUEUE=always)."""
        self._batch_events = rng.choice((1, 3, BATCH_EVENTS)) if queues_all else BATCH_EVENTS
        self._folder = tempfile.TemporaryDirectory(dir=_MEMORY if Path(_MEMORY).is_dir() else None)
        # Room for some events: a spool that is full is refused as well.
        self._spool = Spool(self._folder.name, rng.choice((3_000, 2**20)), NullObserver())
        self._when_filled: list[Callable[[], None]] = []

    @classmethod
    def of(cls, rng: random.Random, *, is_allowed: bool) -> Spooling | None:
        """Draw one, in some schedules."""
        drawn = rng.random()
        if not is_allowed or drawn >= _FALLBACK_SHARE + _ALWAYS_SHARE:
            return None
        return cls(rng, queues_all=drawn >= _FALLBACK_SHARE)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._spool.is_empty

    def replay(self, process: Process) -> None:
        """Let a replica replay it from now on."""
        process.replay(self._spool, self._batch_events, self._when_filled.append)

    def takes(self, event: Event) -> bool:
        """Put an event that was not stored into it, where that is its purpose; return whether it is on disk."""
        return not self.queues_all and self._append(event) is None

    def queued(self, event: Event) -> Future[Any]:
        """Put an event into the queue; return the future of its answer."""
        future: Future[Any] = Future()
        error = self._append(event)
        if error is None:
            future.set_result(None)
        elif isinstance(error, EventTooLargeError):
            # Answered 413: its sender doesn't retry.
            future.set_exception(RequestTooLargeError(str(error)))
        else:
            future.set_exception(error)
        return future

    def _append(self, event: Event) -> StoreUnavailableError | None:
        (error,) = self._spool.append_all([event])
        if error is None:
            waiting, self._when_filled[:] = list(self._when_filled), []
            for do in waiting:
                do()
        return error

    def close(self) -> None:
        """Remove it."""
        self._spool.close()
        self._folder.cleanup()
