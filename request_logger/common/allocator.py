"""What the C library does with memory that was freed."""

from __future__ import annotations

import contextlib
import ctypes

# From glibc's malloc.h.
_M_MMAP_THRESHOLD = -3
# A new buffer costs a page fault per 4 kB: little beside the work on the bytes of a large body.
_LARGE_BYTES = 2**20


def return_large_buffers() -> None:
    """Return large buffers to the system when they are freed, in this process and its children.

    By default glibc keeps buffers of up to 32 MB, once it has freed one of that size: a worker then holds twice the
    memory that its largest event needs. Does nothing with another C library.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
