"""The future of a plan: the part of concurrent.futures.Future that is needed here, at a lower cost.

The standard Future creates a condition with a lock per event and acquires it in every method, which took a tenth of an
event's CPU time in a batch. Here a waiter creates its lock lazily; the lock is held until the future ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_WAITER_CREATION = threading.Lock()


class Future(Generic[T]):
    """A future that ends once, with a result or an error. Thread-safe.

    ``then`` is called with the future, in the thread that ends it. ``ended`` is what `done` returns, for the writer's
    loops.
    """

    __slots__ = ("_error", "_result", "_then", "_waiter", "ended")

    def __init__(self, then: Callable[[Future[T]], None] | None = None) -> None:
        self.ended = False
        self._error: BaseException | None = None
        self._result: T
        self._then = then
        self._waiter: threading.Lock | None = None

    def done(self) -> bool:
        """Return whether it ended."""
        return self.ended

    def set_result(self, result: T) -> None:
        """End it with a result."""
        self._result = result
        self._end()

    def set_exception(self, error: BaseException) -> None:
        """End it with an error."""
        self._error = error
        self._end()

    def result(self, timeout: float | None = None) -> T:
        """Wait for the end (at most ``timeout`` seconds); return the result or raise the error. Raises TimeoutError."""
        error = self._error if self.ended else self.exception(timeout)
        if error is not None:
            raise error
        return self._result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end (at most ``timeout`` seconds); return the error, None for a result. Raises TimeoutError."""
        if not self.ended:
            with _WAITER_CREATION:
                if self._waiter is None:
                    waiter = threading.Lock()
                    waiter.acquire()
                    self._waiter = waiter
            # `_end` sets `ended` before it checks for a waiter; here the waiter is set before `ended` is checked again.
            # So at least one of the two threads sees the other.
            if not self.ended:
                if not self._waiter.acquire(timeout=-1 if timeout is None else timeout):
                    raise TimeoutError
                # Wakes the next waiting thread, if there are several.
                self._waiter.release()
        return self._error

    def _end(self) -> None:
        self.ended = True
        if self._waiter is not None:
            self._waiter.release()
        then, self._then = self._then, None
        if then is not None:
            then(self)
