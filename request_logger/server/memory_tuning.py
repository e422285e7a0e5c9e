"""Memory tuning: a garbage collector for many short-lived objects, and large blocks that return to the system."""

from __future__ import annotations

import atexit
import ctypes
import gc

# glibc's numbers of the parameters.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# A block of this size is mapped of its own, so that it is returned as soon as it is freed. By itself glibc raises this
# limit to 32 MB with the first large body, and then keeps holes between large blocks: the peak of a 10 MB body was 6.5
# to 9.5 times its size, and is 4.2. Mapping costs time per page, so bodies of 1 MB, the most by default, are not mapped
# (`python -m bench.large`).
_MAPPED_BYTES = 4 * 2**20
# The end of the heap is returned from this size on: as glibc chooses it by itself, twice the other limit.
_TRIMMED_BYTES = 2 * _MAPPED_BYTES


def tune_memory() -> None:
    """Tune the garbage collector and the allocator of this process, once all modules are imported."""
    _calm_collector()
    _return_large_blocks()


def _calm_collector() -> None:
    """Freeze existing objects and collect less often: the collector took a third of the CPU time of an event."""
    gc.collect()
    gc.freeze()
    # Objects still frozen at exit are cleared module by module, and a log handler that outlives the module of its lock
    # prints a traceback.
    atexit.register(gc.unfreeze)
    gc.set_threshold(50_000, 20, 50)


def _return_large_blocks() -> None:
    # Other allocators than glibc's have no mallopt, or one that refuses the parameter, which changes nothing.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _TRIMMED_BYTES)
