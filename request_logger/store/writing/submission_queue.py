"""What has been submitted and is still to be taken by the writer, with its bounds."""

from __future__ import annotations

import math
import threading
from collections import deque

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.pending import Task


class SubmissionQueue:
    """A queue of tasks, with at most ``most_bytes`` of weight that is not finished. Thread-safe."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        # With a plain lock: the one that can be taken again costs several times as much, and all events take it.
        self._changed = threading.Condition(threading.Lock())
        self._tasks: deque[Task] = deque()
        self._awaited = math.inf
        self._is_woken = False
        self._put_bytes = self._finished_bytes = 0
        self.closing = False

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def pending_bytes(self) -> int:
        """Weight of what was put and is not finished."""
        return self._put_bytes - self._finished_bytes

    def put(self, task: Task) -> None:
        """Add a task. Raises StoreUnavailableError where there is no room, or there is none any more."""
        with self._changed:
            if self.closing:
                raise StoreUnavailableError("shutting down")
            pending = self.pending_bytes
            if pending and pending + task.weight > self._most_bytes:
                raise StoreUnavailableError("too much is waiting for the engine")
            self._put_bytes += task.weight
            self._tasks.append(task)
            if len(self._tasks) >= self._awaited:
                self._changed.notify()

    def finished(self, task: Task) -> None:
        """Make room again. To be called by one thread at a time."""
        self._finished_bytes += task.weight

    def wait(self, seconds: float | None = None) -> None:
        """Wait until there is a task or it is woken, for at most so long. For one thread at a time."""
        with self._changed:
            if not self._tasks and not self._is_woken:
                self._wait_for(1, seconds)

    def linger(self, count: int, seconds: float) -> None:
        """Wait until there are so many tasks, for at most so long. For one thread at a time."""
        with self._changed:
            if len(self._tasks) < count:
                self._wait_for(count, seconds)

    def _wait_for(self, count: int, seconds: float | None) -> None:
        self._awaited = count
        self._changed.wait(seconds)
        self._awaited = math.inf

    def wake(self) -> None:
        """End the wait for a task: there is something else to do."""
        with self._changed:
            self._is_woken = True
            self._changed.notify()

    def take(self) -> list[Task]:
        """Give all that are there, the first one first."""
        with self._changed:
            tasks = list(self._tasks)
            self._tasks.clear()
            self._is_woken = False
        return tasks

    def close(self) -> None:
        """Let no more in, and wake who waits."""
        with self._changed:
            self.closing = True
        self.wake()
