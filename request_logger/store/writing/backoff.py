"""How long to wait before the next attempt: longer each time, with jitter, up to a bound."""

from __future__ import annotations

import math
import random

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0
"""Far below the events' deadline, so that an engine that is back is noticed in time."""


def bounded_pause(attempt: int, rng: random.Random) -> float:
    """Return the pause (seconds) before an attempt, counted from 1: uniform between 0 and the doubled bound."""
    # 2 ** 6 * 0.05 is over the bound already; a larger exponent would only overflow.
    return rng.uniform(0, min(FIRST_PAUSE_SECONDS * 2 ** min(attempt, 6), LONGEST_PAUSE_SECONDS))


class Backoff:
    """The pause of everything, while the engine doesn't answer. ``until`` is its end, of the caller's clock."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0
        self.until = -math.inf

    def failed(self, now: float) -> None:
        """Begin a pause, a longer one after each failure."""
        self.until = now + bounded_pause(self._failures, self._rng)
        self._failures += 1

    def succeeded(self) -> None:
        """Start again with short pauses."""
        self._failures = 0
