"""Post-stratification of predicted numbers: means of errors, each range of predictions weighted by its size.

Pure code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from request_logger.analytics import t_distribution
from request_logger.analytics.feedback.cells import Sums
from request_logger.analytics.feedback.strata import GROUPS, LEAST_TRUTHS
from request_logger.analytics.feedback.weighted import Weights
from request_logger.analytics.intervals import LEVEL, Interval
from request_logger.analytics.shares import INDEPENDENT, Dependence

RANGES = GROUPS


@dataclass(frozen=True, slots=True)
class Range:
    """A range of predicted numbers: its edges, its predictions, and the sums of each error over those with a truth."""

    low: float | None
    high: float | None
    predictions: int
    errors: Mapping[str, Sums]

    @property
    def with_truth(self) -> int:
        """The number of predictions with a truth."""
        return max((sums.n for sums in self.errors.values()), default=0)

    def __add__(self, other: Range) -> Range:
        errors = {name: sums + other.errors[name] for name, sums in self.errors.items()}
        return Range(self.low, other.high, self.predictions + other.predictions, errors)


def merged(ranges: Sequence[Range]) -> tuple[list[Range], float]:
    """Return neighbouring ranges merged until each has enough truths, and the share of predictions that this concerns.

    Empty if all together have too few.
    """
    n = sum(each.predictions for each in ranges)
    few = sum(each.predictions for each in ranges if each.with_truth < LEAST_TRUTHS)
    done: list[Range] = []
    for each in ranges:
        if done and done[-1].with_truth < LEAST_TRUTHS:
            done[-1] += each
        else:
            done.append(each)
    if len(done) > 1 and done[-1].with_truth < LEAST_TRUTHS:
        last = done.pop()
        done[-1] += last
    return [each for each in done if each.with_truth >= LEAST_TRUTHS], few / n if n else 0.0


def weighted_mean(
    ranges: Sequence[Range], weights: Weights, field: str, together: Dependence = INDEPENDENT
) -> tuple[float, Interval]:
    """Return the mean of an error field: sum W_b mean_b, with the variance sum W_b^2 s_b^2 / m_b, by Student's t."""
    n = sum(each.predictions for each in ranges)
    value = variance = 0.0
    freedom = 0
    for each, weight in zip(ranges, weights.weights, strict=True):
        sums = each.errors[field]
        share = weight * each.with_truth / n
        mean = sums.total / sums.n
        spread = max(sums.squares - sums.total * mean, 0.0) / (sums.n - 1)
        value += share * mean
        variance += share * share * spread / sums.n
        freedom += sums.n - 1
    quantile = t_distribution.quantile(LEVEL, freedom if together.freedom is None else together.freedom)
    half = quantile * math.sqrt(variance * together.effect)
    return value, Interval(value - half, value + half, "post-stratified, Student t", math.sqrt(variance))
