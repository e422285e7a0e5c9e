"""Running in the foreground until somebody stops it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType


class _Stopped(KeyboardInterrupt):
    """SIGTERM came: clean up as for Ctrl-C."""


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Within it SIGTERM does what Ctrl-C does, so that `with` blocks and `finally` clauses clean up."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def wait_for_stop(running: Callable[[], bool]) -> int:
    """Wait for Ctrl-C or SIGTERM (status 0), or until what runs has ended by itself (status 1)."""
    try:
        while running():
            time.sleep(0.5)
    except KeyboardInterrupt:
        return 0
    return 1
