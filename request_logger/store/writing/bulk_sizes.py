"""How many bytes the next _bulk may have: less after an engine that is small or busy has refused one."""

from __future__ import annotations

_LEAST_BYTES = 16 * 2**10


class BulkSizes:
    """The bound of a _bulk. ``most_bytes`` is what it is now; one document may be larger, and goes alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.most_bytes = limit

    def too_large(self, size: int) -> None:
        """Note that the engine never takes so many bytes: its own limit doesn't change while it runs."""
        self._limit = max(min(self._limit, size // 2), 1)
        self.most_bytes = min(self.most_bytes, self._limit)

    def too_busy(self, size: int) -> None:
        """Note that the engine has no room for so many bytes now: one that is sent again whole might never find it."""
        self.most_bytes = min(max(min(self.most_bytes, size // 2), _LEAST_BYTES), self._limit)

    def taken(self) -> None:
        """Note that the engine has taken one: the next may be larger again."""
        self.most_bytes = min(self.most_bytes * 2, self._limit)
