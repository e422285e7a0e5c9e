"""The rates of a group and their differences to another group, from four counts. Pure code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from request_logger.analytics.intervals import Interval
from request_logger.analytics.proportions import LEAST_EXPECTED, chi_squared, fisher
from request_logger.analytics.shares import INDEPENDENT, Dependence, share_interval


class Rate(StrEnum):
    """A rate of a group, by its name in the JSON."""

    SELECTION = "selection_rate"
    TRUE_POSITIVE = "true_positive_rate"
    FALSE_POSITIVE = "false_positive_rate"
    PRECISION = "precision"


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How many predictions of a group have each outcome."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def n(self) -> int:
        """All predictions."""
        return self.tp + self.fp + self.fn + self.tn

    def share(self, rate: Rate) -> tuple[int, int]:
        """Return the numerator and the denominator of a rate."""
        return {
            Rate.SELECTION: (self.tp + self.fp, self.n),
            Rate.TRUE_POSITIVE: (self.tp, self.tp + self.fn),
            Rate.FALSE_POSITIVE: (self.fp, self.fp + self.tn),
            Rate.PRECISION: (self.tp, self.tp + self.fp),
        }[rate]


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of a rate between two groups with its 95 % interval and the p-value of no difference."""

    value: float
    low: float
    high: float
    p_value: float


def difference(one: tuple[int, int], other: tuple[int, int], together: Dependence = INDEPENDENT) -> Difference | None:
    """Return the first share minus the second; None if one has no denominator.

    The interval is Newcombe's (1998, method 10), from Wilson's of both; the p-value is that of the chi-squared test, or
    of Fisher's exact test where a cell expects fewer than LEAST_EXPECTED. Documents that belong together have the
    interval and the test of as many fewer, and no exact test: then the p-value is 1.
    """
    (hits, n), (others, n_others) = one, other
    if not n or not n_others:
        return None
    ends = newcombe(one, other, together)
    return Difference(hits / n - others / n_others, *ends, _p_value(hits, n, others, n_others, together.effect))


def newcombe(
    one: tuple[float, float], other: tuple[float, float], together: Dependence = INDEPENDENT
) -> tuple[float, float]:
    """Return Newcombe's interval of the difference of two shares: the distances to Wilson's limits, in squares."""
    first, second = _limits(*one, together), _limits(*other, together)
    a, b = one[0] / one[1], other[0] / other[1]
    low = a - b - math.hypot(a - first.low, second.high - b)
    high = a - b + math.hypot(first.high - a, b - second.low)
    return low, high


def _limits(hits: float, n: float, together: Dependence) -> Interval:
    found = share_interval(hits, n, together)
    # Both ends are known, as n is above 0.
    assert found is not None
    return found


def _p_value(hits: int, n: int, others: int, n_others: int, effect: float) -> float:
    pooled = (hits + others) / (n + n_others)
    if min(n, n_others) * min(pooled, 1 - pooled) >= LEAST_EXPECTED * effect:
        return chi_squared(hits / effect, n / effect, others / effect, n_others / effect)
    return fisher(hits, n, others, n_others) if effect == 1.0 else 1.0
