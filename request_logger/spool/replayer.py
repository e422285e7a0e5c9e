"""Replays the spool's events once the search engine accepts them again."""

from __future__ import annotations

import fcntl
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from request_logger.documents.event import Event
from request_logger.spool.disk import Spool
from request_logger.spool.observer import Observer
from request_logger.spool.replay import Replay
from request_logger.store.writing.future import Future

# The pause between two checks of the spool; doubled after each failure, up to the maximum.
_IDLE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 10.0


class Replayer:
    """A thread that replays the spool's events, the oldest first, with many in flight.

    Of several processes only the one that holds the lock file replays.
    """

    def __init__(
        self,
        spool: Spool,
        folder: str,
        submit: Callable[[Event], Future[Any]],
        is_down: Callable[[], bool],
        observer: Observer,
        batch_bytes: int = 8 * 2**20,
    ) -> None:
        """Start the thread.

        ``submit`` queues an event at the store, ``is_down`` returns whether the search engine is known not to answer,
        ``batch_bytes`` limits the records held in memory.
        """
        self._spool = spool
        self._submit = submit
        self._is_down = is_down
        self._observer = observer
        self._batch_bytes = batch_bytes
        self._stopping = threading.Event()
        # The kernel releases the lock of a dead process, so another process replays the rest.
        self._lock_file = os.open(Path(folder) / "replay.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._thread = threading.Thread(target=self._run, name="spool-replayer", daemon=True)
        self._thread.start()

    def close(self, timeout: float | None = None) -> None:
        """Stop the thread (wait at most ``timeout`` seconds); events not known to be stored stay in the spool."""
        self._stopping.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.wait(self._pause(failures)):
            try:
                failures = 0 if self._round() else failures + 1
            except Exception as error:
                failures += 1
                self._observer.happened("spool_error", "", str(error))

    def _pause(self, failures: int) -> float:
        bound = min(_IDLE_SECONDS * 2**failures, _MAX_PAUSE_SECONDS) if failures < 10 else _MAX_PAUSE_SECONDS
        return random.uniform(bound / 2, bound)  # noqa: S311

    def _round(self) -> bool:
        """Replay all events once; return False if none of them left the spool."""
        self._spool.refresh()
        if self._spool.is_empty:
            return True
        if self._is_down():
            # Known without a request, so there is no reason to check less often.
            return True
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        try:
            replay = Replay(self._spool, self._submit, self._observer, self._batch_bytes)
            while replay.begin():
                while not replay.is_done and not self._stopping.is_set():
                    replay.wait(0.2)
                replay.finish()
                if self._stopping.is_set() or self._is_down():
                    break
            return replay.count > 0
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)
