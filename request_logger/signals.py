"""Stops foreground commands on SIGTERM as on Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType


class _Stopped(KeyboardInterrupt):
    """SIGTERM was received: clean up as for Ctrl-C."""


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Make SIGTERM act like Ctrl-C within the block, so that `with` and `finally` clean up."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def wait_for_stop(running: Callable[[], bool]) -> int:
    """Wait for Ctrl-C or SIGTERM (returns 0), or until ``running`` is false (returns 1)."""
    try:
        while running():
            time.sleep(0.5)
    except KeyboardInterrupt:
        return 0
    return 1
