"""An orderly end: readiness goes first, the server some seconds later.

Whoever balances the load needs a while to learn that a server ends. One that closes its port at once refuses what is
sent to it meanwhile, and a sender that doesn't come again has lost it.
"""

from __future__ import annotations

import mmap
import time

from gunicorn.arbiter import Arbiter


class Stopping:
    """A flag that a process and its later forks share."""

    def __init__(self) -> None:
        self._flag = mmap.mmap(-1, 1)

    def __bool__(self) -> bool:
        return self._flag[0] != 0

    def begin(self) -> None:
        """Say that the server is about to stop."""
        self._flag[0] = 1


class PatientArbiter(Arbiter):  # type: ignore[misc]
    """Gunicorn's master, which at SIGTERM goes on serving for some seconds, with readiness gone."""

    def __init__(self, app: object, stopping: Stopping, delay: float) -> None:
        self._stopping = stopping
        self._delay = delay
        super().__init__(app)

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers. After SIGINT, which is in a hurry, there are none left here."""
        if graceful and self.WORKERS and not self._stopping:
            self._stopping.begin()
            time.sleep(self._delay)
        super().stop(graceful)

    def handle_usr2(self) -> None:
        """Refuse gunicorn's upgrade on the fly: a second master would share the counters' folder and the spool."""
        self.log.warning("SIGUSR2 is ignored: start the new version beside this one, then stop this one with SIGTERM")
