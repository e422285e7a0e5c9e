"""The bounded queue between the threads that submit plans and the writer's threads."""

from __future__ import annotations

import math
import threading
from collections import deque

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.pending import Task


class SubmissionQueue:
    """A queue of tasks; the unfinished ones weigh at most ``max_bytes`` together. Thread-safe.

    `wait` and `linger` are for one thread at a time: the caller holds the writer's collecting lock.
    """

    def __init__(self, max_bytes: int) -> None:
        self._most_bytes = max_bytes
        # A plain lock: the default re-entrant lock costs several times as much, and every event takes it.
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
        """The weight of the tasks that were put and are not finished (bytes)."""
        return self._put_bytes - self._finished_bytes

    def put(self, task: Task) -> None:
        """Add a task. Raises StoreUnavailableError if the queue is full or closed."""
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
        """Release the weight of a task. For one thread at a time: the caller holds the writer's lock."""
        self._finished_bytes += task.weight

    def wait(self, seconds: float | None = None) -> None:
        """Wait until there is a task or `wake` is called, for at most ``seconds`` (None: no limit)."""
        with self._changed:
            if not self._tasks and not self._is_woken:
                self._wait_for(1, seconds)

    def linger(self, count: int, seconds: float) -> None:
        """Wait until there are ``count`` tasks, for at most ``seconds``."""
        with self._changed:
            if len(self._tasks) < count:
                self._wait_for(count, seconds)

    def _wait_for(self, count: int, seconds: float | None) -> None:
        self._awaited = count
        self._changed.wait(seconds)
        self._awaited = math.inf

    def wake(self) -> None:
        """End the current or next `wait`: there is other work."""
        with self._changed:
            self._is_woken = True
            self._changed.notify()

    def take(self) -> list[Task]:
        """Remove and return all tasks, in the order of submission."""
        with self._changed:
            tasks = list(self._tasks)
            self._tasks.clear()
            self._is_woken = False
        return tasks

    def close(self) -> None:
        """Refuse further tasks, and wake the waiting thread."""
        with self._changed:
            self.closing = True
        self.wake()
