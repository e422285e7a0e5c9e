"""Virtual time: what is to happen, in its order. Nothing waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class Clock:
    """Runs what was planned at its time. Of equal times the first planned goes first."""

    def __init__(self, start: float) -> None:
        self.now = start
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self.now

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Plan something."""
        heapq.heappush(self._planned, (self.now + max(seconds, 0.0), next(self._numbers), do))

    def run(self, until: Callable[[], bool], latest: float, most: int) -> bool:
        """Run until a condition holds; return whether it did before a time, and in so many steps."""
        for _ in range(most):
            if until():
                return True
            if not self._planned or self._planned[0][0] > latest:
                return False
            self.now, _, do = heapq.heappop(self._planned)
            do()
        return False
