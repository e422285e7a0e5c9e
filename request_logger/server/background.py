"""Runs jobs one at a time in a thread, with pauses."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

log = logging.getLogger(__name__)

Job = Callable[[], object]
# After each job the thread rests for so many times as long as it took.
REST = 1.0


class Background:
    """Jobs by key, each of which waits or runs at most once. The thread starts with the first. Thread-safe."""

    def __init__(self, pause: Callable[[float], None] = time.sleep) -> None:
        self._pause = pause
        self._jobs: OrderedDict[Hashable, Job] = OrderedDict()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def submit(self, key: Hashable, job: Job) -> None:
        """Run a job after those that wait; nothing if that of its key waits or runs."""
        with self._changed:
            if key not in self._jobs:
                self._jobs[key] = job
                self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="background", daemon=True)
                self._thread.start()

    def has(self, key: Hashable) -> bool:
        """Return whether the job of a key waits or runs."""
        with self._changed:
            return key in self._jobs

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs)
                key, job = next(iter(self._jobs.items()))
            started = time.monotonic()
            try:
                job()
            except Exception as error:
                log.error("a page could not be renewed", exc_info=error)
            with self._changed:
                del self._jobs[key]
            self._pause(REST * (time.monotonic() - started))
