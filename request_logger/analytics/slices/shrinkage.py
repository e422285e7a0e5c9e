"""Effects of many parts, shrunk towards none: the worst of many is mostly luck. Pure code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """The normal distribution that true effects are assumed to have: around 0, with this variance between parts."""

    variance: float

    @classmethod
    def of(cls, effects: Sequence[float], errors: Sequence[float]) -> Shrinkage:
        """Return the variance by the method of moments (DerSimonian and Laird 1986, with a mean of 0).

        With weights w = 1 / error^2, sum w effect^2 is expected to be k + variance * sum w for k parts.
        """
        weights = [1 / error**2 for error in errors]
        if not weights:
            return cls(0.0)
        excess = math.fsum(w * effect**2 for w, effect in zip(weights, effects, strict=True)) - len(weights)
        return cls(max(excess / math.fsum(weights), 0.0))

    def shrunk(self, effect: float, error: float) -> float:
        """Return the mean of the true effect, given the one that was seen with a standard error."""
        return effect * self.variance / (self.variance + error**2)
