"""Adapts the maximum size of a _bulk: smaller after a refusal for its size or load, larger again after a success."""

from __future__ import annotations

# A handful of documents: a busy search engine that has no room for them has none at all.
_MIN_BYTES = 16 * 2**10


class BulkSizes:
    """The current maximum size of a _bulk, ``max_bytes``; a document that is larger is sent alone.

    Not thread-safe: the caller holds the writer's lock.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.max_bytes = limit

    def too_large(self, size: int) -> None:
        """Lower the limit for good: the search engine's own limit doesn't change while it runs."""
        self._limit = max(min(self._limit, size // 2), 1)
        self.max_bytes = min(self.max_bytes, self._limit)

    def too_busy(self, size: int) -> None:
        """Lower the maximum for now: a request that is retried with its full size might never find enough room."""
        self.max_bytes = min(max(min(self.max_bytes, size // 2), _MIN_BYTES), self._limit)

    def taken(self) -> None:
        """Raise the maximum again after the search engine has accepted a request."""
        self.max_bytes = min(self.max_bytes * 2, self._limit)
