"""What runs in threads while a block does something else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self


class Background:
    """Runs functions, each in a thread, from the start of a ``with`` block to its end.

    They return soon after `_stop` is set; the end of the block waits for that, at most ``seconds`` for each if given.
    """

    def __init__(self, *runs: Callable[[], None], seconds: float | None = None) -> None:
        self._stop = threading.Event()
        self._seconds = seconds
        self._threads = [threading.Thread(target=run, name=type(self).__name__, daemon=True) for run in runs]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(self._seconds)
