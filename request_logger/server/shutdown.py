"""Graceful shutdown: readiness fails first, and the server stops some seconds later.

A load balancer needs a while to notice that a server is stopping. Closing the port at once would reject what it still
sends, and a sender that doesn't retry would lose it.
"""

from __future__ import annotations

import mmap
import time

from gunicorn.arbiter import Arbiter


class Stopping:
    """A flag shared by this process and its later forks."""

    def __init__(self) -> None:
        self._flag = mmap.mmap(-1, 1)

    def __bool__(self) -> bool:
        return self._flag[0] != 0

    def begin(self) -> None:
        """Set the flag: the server is about to stop."""
        self._flag[0] = 1


class PatientArbiter(Arbiter):  # type: ignore[misc]
    """Gunicorn's master, which on SIGTERM keeps serving for ``delay`` seconds while readiness fails."""

    def __init__(self, app: object, stopping: Stopping, delay: float) -> None:
        self._stopping = stopping
        self._delay = delay
        super().__init__(app)

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers, after the delay if any are left: on SIGINT gunicorn has stopped them already."""
        if graceful and self.WORKERS and not self._stopping:
            self._stopping.begin()
            time.sleep(self._delay)
        super().stop(graceful)

    def handle_usr2(self) -> None:
        """Ignore gunicorn's live upgrade: a second master would share the metrics folder and the spool."""
        self.log.warning("SIGUSR2 is ignored: start the new version next to this one, then stop this one with SIGTERM")
