"""Replays the spool's events: as soon as the search engine accepts them, and with QUEUE=always all the time."""

from __future__ import annotations

import fcntl
import os
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from request_logger.documents.event import Event
from request_logger.spool.disk import Spool
from request_logger.spool.lanes import Lanes
from request_logger.spool.observer import Observer
from request_logger.spool.replay import BATCH_EVENTS, Replay, Submission

# The pause between two checks of the spool; doubled after each failure, up to the maximum.
_IDLE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 10.0
# With a shorter delay, checks of an empty queue would take a noticeable share of a core.
_MIN_DELAY_SECONDS = 0.05
# The thread notices the stop, and removes from the disk what was stored, within this time.
_END_SECONDS = 1.0
# How often a process that stops checks whether another one has stopped replaying, and what the store has stored.
_HANDOVER_SECONDS = 0.1


class Replayer:
    """A thread that replays the spool's events, the oldest first, with many in flight.

    Of several processes only the one that holds the lock file replays. It keeps the lock while it makes progress, so
    that the versions of a prediction's document stay in the cache of one process.
    """

    def __init__(
        self,
        spool: Spool,
        folder: str,
        prepare: Callable[[Event], Submission],
        is_down: Callable[[], bool],
        observer: Observer,
        batch_bytes: int = 8 * 2**20,
        batch_events: int = BATCH_EVENTS,
        delay: float | None = None,
    ) -> None:
        """Start the thread.

        ``prepare`` decodes an event for the store, ``is_down`` returns whether the search engine is known not to
        answer, ``batch_bytes`` limits the records held in memory. ``delay`` is how long events are collected (seconds)
        in a queue for all events; None where the spool is used only while the search engine is unavailable.
        """
        self._spool = spool
        self._is_down = is_down
        self._observer = observer
        self._delay = delay
        self._new_replay = partial(Replay, spool, prepare, observer, batch_bytes, batch_events)
        self._lanes = Lanes(self._new_replay)
        self._stopping = threading.Event()
        # By time.monotonic: how long events are still replayed after the stop.
        self._drain_until = 0.0
        # The kernel releases the lock of a dead process, so another process replays the rest.
        self._lock_file = os.open(Path(folder) / "replay.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._holds_lock = False
        self._thread = threading.Thread(target=self._run, name="spool-replayer", daemon=True)
        self._thread.start()

    def close(self, drain_seconds: float = 0.0) -> None:
        """Stop the thread: it replays what is left for at most ``drain_seconds``; the rest stays in the spool."""
        self._drain_until = time.monotonic() + drain_seconds
        self._stopping.set()
        self._thread.join(drain_seconds + _END_SECONDS)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.wait(self._pause(failures)):
            failures = 0 if self._is_done(self._round) else failures + 1
        self._is_done(self._drain)
        self._unlock()

    def _is_done(self, action: Callable[[], bool]) -> bool:
        """Run a function of the thread; return its result, False if it raised."""
        try:
            return action()
        except Exception as error:
            self._unlock()
            self._observer.happened("spool_error", "", str(error))
            return False

    def _pause(self, failures: int) -> float:
        if self._lanes.has_more:
            return 0.0
        if self._delay is not None and self._holds_lock and not failures:
            return max(self._delay, _MIN_DELAY_SECONDS)
        bound = min(_IDLE_SECONDS * 2**failures, _MAX_PAUSE_SECONDS) if failures < 10 else _MAX_PAUSE_SECONDS
        return random.uniform(bound / 2, bound)  # noqa: S311

    def _round(self) -> bool:
        """Replay what is there; return False if there are events, and none of them left the spool or is in flight."""
        self._spool.refresh()
        self._lanes.finish()
        if self._spool.is_empty and self._delay is None:
            return True
        if self._is_down():
            # Known without a request, so there is no reason to check less often.
            return True
        if not self._lock() or self._spool.is_empty:
            return True
        if self._lanes.advance(self._is_over):
            return True
        self._unlock()
        return False

    def _is_over(self) -> bool:
        """Whether the thread must end now: after a stop, once there is no time or no engine for what is left."""
        return self._stopping.is_set() and (time.monotonic() >= self._drain_until or self._is_down())

    def _drain(self) -> bool:
        """Replay what is left, also by other processes that have stopped, while there is time and progress."""
        while True:
            self._spool.refresh()
            self._lanes.finish()
            if self._spool.is_empty or self._is_over():
                return True
            if not self._lock():
                # Its holder may stop as well, before it has seen what this process has appended.
                time.sleep(_HANDOVER_SECONDS)
            elif not self._lanes.advance(self._is_over):
                return True
            elif not self._lanes.is_done:
                time.sleep(_HANDOVER_SECONDS)

    def _lock(self) -> bool:
        """Take the lock; return False if another process holds it."""
        if not self._holds_lock:
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._holds_lock = True
        return True

    def _unlock(self) -> None:
        if self._holds_lock:
            self._holds_lock = False
            # Another process may replay what is in flight here, which changes nothing.
            self._lanes = Lanes(self._new_replay)
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)
