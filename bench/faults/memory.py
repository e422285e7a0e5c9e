"""Measures the resident memory of a server, all workers together."""

from __future__ import annotations

import os
from pathlib import Path

from bench.background import Background

_EVERY_SECONDS = 0.2
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Memory(Background):
    """Samples processes with their children until the block ends; ``peak`` is in MB, 0 without /proc."""

    def __init__(self) -> None:
        super().__init__(self._run)
        self.pids: set[int] = set()
        """The sampled processes, whose children are included; may be changed at any time."""
        self.peak = 0.0

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            self.peak = max([self.peak, *(resident(pid) for pid in list(self.pids))])


def resident(pid: int) -> float:
    """Return the resident memory of a process and its children in MB; shared pages count for each."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        own = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES / 1e6
    except (OSError, IndexError):
        return 0.0
    return own + sum(resident(int(child)) for child in children)
