"""Python's garbage collector, as a process wants it that makes many small objects and hardly any cycle."""

from __future__ import annotations

import gc


def calm_collector() -> None:
    """Leave out what is there now, and look less often: the collector took a third of the CPU time of an event."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
