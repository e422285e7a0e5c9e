"""The end of a plan that somebody waits for: concurrent.futures.Future, as far as it is needed here.

A Future makes a condition with a lock for each event and takes it at every question, which was a tenth of an event's
CPU time in a batch. Here only who has to wait makes something to wait with: a lock, which is taken until the end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_MAKING = threading.Lock()


class Future(Generic[T]):
    """Ends once, with a result or an error; ``then`` is called with it at its end, by who ends it. Thread-safe."""

    __slots__ = ("_done", "_error", "_result", "_then", "_waiter")

    def __init__(self, then: Callable[[Future[T]], None] | None = None) -> None:
        self._done = False
        self._error: BaseException | None = None
        self._result: T
        self._then = then
        self._waiter: threading.Lock | None = None

    def done(self) -> bool:
        """Say whether it has ended."""
        return self._done

    def set_result(self, result: T) -> None:
        """End it."""
        self._result = result
        self._end()

    def set_exception(self, error: BaseException) -> None:
        """End it with an error."""
        self._error = error
        self._end()

    def result(self, timeout: float | None = None) -> T:
        """Wait for the end (at most ``timeout`` seconds); give its result, or raise its error. Raises TimeoutError."""
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self._result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end (at most ``timeout`` seconds); give its error, None for a result. Raises TimeoutError."""
        if not self._done:
            with _MAKING:
                if self._waiter is None:
                    waiter = threading.Lock()
                    waiter.acquire()
                    self._waiter = waiter
            # Who ends it says so first and looks for those who wait then: one of the two sees the other.
            if not self._done:
                if not self._waiter.acquire(timeout=-1 if timeout is None else timeout):
                    raise TimeoutError
                # Others may wait, too.
                self._waiter.release()
        return self._error

    def _end(self) -> None:
        self._done = True
        if self._waiter is not None:
            self._waiter.release()
        if self._then is not None:
            self._then(self)
