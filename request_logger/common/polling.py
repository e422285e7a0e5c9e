"""A thread that does the same step again and again: until it is closed, whatever the step raises."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple


class Pause(NamedTuple):
    """How long a thread waits for its next step (seconds): ``most``, or until it is woken, and ``least`` after that."""

    most: float
    least: float = 0.0


class PollingThread:
    """Calls ``step`` in a thread, with the pause that each call returns; after one that raised, that of ``failed``.

    ``is_last_at_end``: whether there is one more step after `close`.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Pause],
        failed: Callable[[Exception], Pause],
        *,
        is_last_at_end: bool = False,
    ) -> None:
        self._step = step
        self._failed = failed
        self._is_last_at_end = is_last_at_end
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Let the next step be soon."""
        self._wake.set()

    def close(self, timeout: float) -> None:
        """Stop the thread, and wait for its end for at most ``timeout`` seconds."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._closing.is_set():
            pause = self._attempt()
            self._wake.wait(pause.most)
            self._closing.wait(pause.least)
            self._wake.clear()
        if self._is_last_at_end:
            self._attempt()

    def _attempt(self) -> Pause:
        try:
            return self._step()
        except Exception as error:
            # A defect of this program must not end the thread.
            return self._failed(error)
