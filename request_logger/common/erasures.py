"""The index of erasures: what `request-logger erase` did, and which ids may not come back. Pure code."""

from __future__ import annotations

import hashlib

ERASURES_INDEX = "request-logger-erasures"
"""One document per run of the command, and one per erased id, which has only the id's hash."""
BLOCK, RUN = "block", "run"
"""The values of the field ``kind``."""
MOST_BLOCKED = 100_000
"""Erased ids that a process remembers, and that one run may erase: about 15 MB of memory."""

_CONTEXT = b"request-logger-erased\0"


def erased_digest(id: str) -> str:
    """Return the hash that stands for an erased id: of a request id, or of the document of a join key's value."""
    return hashlib.sha256(_CONTEXT + id.encode("utf-8", "surrogatepass")).hexdigest()
