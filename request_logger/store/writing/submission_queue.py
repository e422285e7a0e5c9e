"""The bounded queue between the threads that submit plans and the writer's threads."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from enum import Enum

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.linger import Linger
from request_logger.store.writing.pending import Task


class WaitEnd(Enum):
    """Why a wait ended."""

    TIME = "there are tasks to send, or the time is over"
    WOKEN = "there is other work, or the queue is closed"


class SubmissionQueue:
    """A queue of tasks; the unfinished ones weigh at most ``max_bytes`` together. Thread-safe.

    ``enough_bytes``: that many bytes of tasks don't wait for others. `wait` is for one thread at a time: the caller
    holds the writer's collecting lock.
    """

    def __init__(self, max_bytes: int, enough_bytes: int) -> None:
        self._most_bytes = max_bytes
        # A plain lock: the default re-entrant lock costs several times as much, and every event takes it.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._tasks: deque[Task] = deque()
        self._linger = Linger(enough_bytes)
        # When the waiting thread wakes by itself; minus infinity while no thread waits.
        self._wakes_at = -math.inf
        self._is_woken = False
        self._put_bytes = self._finished_bytes = 0
        self.closing = False

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def pending_bytes(self) -> int:
        """The weight of the tasks that were put and are not finished (bytes)."""
        return self._put_bytes - self._finished_bytes

    def put(self, task: Task, now: float) -> None:
        """Add a task at a time (by time.monotonic). Raises StoreUnavailableError if the queue is full or closed."""
        with self._lock:
            if self.closing:
                raise StoreUnavailableError("shutting down")
            pending = self.pending_bytes
            if pending and pending + task.weight > self._most_bytes:
                raise StoreUnavailableError("too much is waiting for the engine")
            self._put_bytes += task.weight
            self._tasks.append(task)
            self._linger.arrived(now, task.wait_until, task.weight)
            # Without a waiting thread there is none to wake, and `send_at` needs not be known.
            if self._wakes_at > -math.inf and self._linger.send_at() < self._wakes_at:
                # Once is enough: it looks at all tasks.
                self._wakes_at = -math.inf
                self._changed.notify()

    def finished(self, task: Task) -> None:
        """Release the weight of a task. For one thread at a time: the caller holds the writer's lock."""
        self._finished_bytes += task.weight
        self._linger.finished()

    def wait(self, until: float, *, lingers: bool = True) -> WaitEnd:
        """Wait until there are tasks to send, `wake` is called, or a time (by time.monotonic).

        ``lingers``: whether tasks wait for others (see `linger`).
        """
        with self._lock:
            while not self._is_woken:
                now = time.monotonic()
                if lingers and not self.closing:
                    end = min(self._linger.send_at(), until)
                else:
                    end = -math.inf if self._tasks else until
                if end <= now:
                    return WaitEnd.TIME
                self._wakes_at = end
                self._changed.wait(end - now)
                self._wakes_at = -math.inf
            self._is_woken = False
            return WaitEnd.WOKEN

    def wake(self) -> None:
        """End the current or next `wait`: there is other work."""
        with self._lock:
            self._is_woken = True
            self._changed.notify()

    def take(self) -> list[Task]:
        """Remove and return all tasks, in the order of submission."""
        with self._lock:
            tasks = list(self._tasks)
            self._tasks.clear()
            if tasks:
                self._linger.sent(time.monotonic())
        return tasks

    def close(self) -> None:
        """Refuse further tasks, and wake the waiting thread."""
        with self._lock:
            self.closing = True
        self.wake()
