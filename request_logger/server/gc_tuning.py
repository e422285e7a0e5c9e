"""Python's garbage collector, as a process wants it that makes many small objects and hardly any cycle."""

from __future__ import annotations

import atexit
import gc


def calm_collector() -> None:
    """Leave out what is there now, and look less often: the collector took a third of the CPU time of an event."""
    gc.collect()
    gc.freeze()
    # What stays frozen at the interpreter's end is cleared module by module, and a handler of the log that dies after
    # the module of its lock leaves a traceback.
    atexit.register(gc.unfreeze)
    gc.set_threshold(50_000, 20, 50)
