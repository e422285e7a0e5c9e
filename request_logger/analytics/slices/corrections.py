"""What a look at many parts costs: adjusted p-values, and effects shrunk towards none. Pure code."""

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


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return the adjusted p-values (Benjamini and Hochberg 1995).

    Of the parts with one of at most q, a share of at most q is expected to be false.
    """
    count = len(p_values)
    adjusted = [1.0] * count
    least = 1.0
    for rank, k in enumerate(sorted(range(count), key=lambda k: p_values[k], reverse=True)):
        least = min(least, p_values[k] * count / (count - rank))
        adjusted[k] = least
    return adjusted
