"""Exponential back-off with jitter and an upper bound."""

from __future__ import annotations

import math
import random

FIRST_PAUSE_SECONDS = 0.05
MAX_PAUSE_SECONDS = 2.0
"""Far below the events' deadline (10 s by default), so that a search engine that is back is noticed in time."""


def bounded_pause(attempt: int, rng: random.Random) -> float:
    """Return the pause (seconds) before an attempt, counted from 1: uniform between 0 and a bound.

    The bound is ``FIRST_PAUSE_SECONDS`` x 2^attempt, at most ``MAX_PAUSE_SECONDS`` ("full jitter").
    """
    # 2 ** 6 * 0.05 exceeds the upper bound already; larger exponents would only overflow.
    return rng.uniform(0, min(FIRST_PAUSE_SECONDS * 2 ** min(attempt, 6), MAX_PAUSE_SECONDS))


class Backoff:
    """The pause of all requests while the search engine doesn't answer; ``until`` is its end (caller's clock)."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0
        self.until = -math.inf

    def failed(self, now: float) -> None:
        """Start a pause, longer after each failure."""
        self.until = now + bounded_pause(self._failures, self._rng)
        self._failures += 1

    def succeeded(self) -> None:
        """Reset to short pauses."""
        self._failures = 0
