"""Prediction-powered inference (PPI++, Angelopoulos, Duchi and Zrnic 2023) of the accuracy, from sums. Pure code."""

from __future__ import annotations

import math
from dataclasses import dataclass

from request_logger.analytics.feedback.cells import Sums
from request_logger.analytics.feedback.weighted import size_of
from request_logger.analytics.intervals import Interval
from request_logger.analytics.shares import INDEPENDENT, Dependence, share_interval


@dataclass(frozen=True, slots=True)
class Powered:
    """The accuracy with its standard error. ``power`` is lambda: 0 leaves the probabilities out, 1 believes them."""

    value: float
    error: float
    power: float

    def interval(self, n: int, together: Dependence = INDEPENDENT) -> Interval | None:
        """Return Wilson's interval for as many documents as would give this error; ``n`` is used where it is 0."""
        value = min(max(self.value, 0.0), 1.0)
        size = size_of(value, self.error**2, float(n))
        return share_interval(value * size, size, together)


def prediction_powered(labelled: Sums, correct: Sums, others: Sums) -> Powered | None:
    """Return the accuracy of all predictions; None without two labelled and two other ones.

    The sums are of the probability f of the predicted class, over the labelled predictions, over those of them that are
    correct, and over all others. With y = 1 where correct:

        theta = lambda mean(f of the others) + mean(y - lambda f),
        SE^2 = lambda^2 Var(f of the others) / N + Var(y - lambda f) / n,
        lambda = Cov(y, f) / ((1 + n / N) Var(f)), within [0, 1], with Var(f) over both.
    """
    n, size = labelled.n, others.n
    if n < 2 or size < 2:
        return None
    hits = correct.n / n
    f, rest = labelled.total / n, others.total / size
    covariance = correct.total / n - hits * f
    both = labelled + others
    variance = _variance(both) * both.n / (both.n - 1)
    # Not below rounding errors: equal probabilities say nothing.
    power = covariance / ((1 + n / size) * variance) if variance > 1e-14 * both.squares / both.n else 0.0
    power = min(max(power, 0.0), 1.0)
    residual = hits * (1 - hits) - 2 * power * covariance + power * power * _variance(labelled)
    error = math.sqrt(power * power * _variance(others) / size + max(residual, 0.0) / n)
    return Powered(power * rest + hits - power * f, error, power)


def _variance(sums: Sums) -> float:
    mean = sums.total / sums.n
    return max(sums.squares / sums.n - mean * mean, 0.0)
