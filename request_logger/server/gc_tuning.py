"""Garbage-collector tuning for many short-lived, acyclic objects."""

from __future__ import annotations

import atexit
import gc


def calm_collector() -> None:
    """Freeze existing objects and collect less often: the collector took a third of the CPU time of an event."""
    gc.collect()
    gc.freeze()
    # Objects still frozen at exit are cleared module by module, and a log handler that outlives the module of its lock
    # prints a traceback.
    atexit.register(gc.unfreeze)
    gc.set_threshold(50_000, 20, 50)
