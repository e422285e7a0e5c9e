"""The sums that an engine would make of some pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import stats

from request_logger.analytics.estimates import statistics_of
from request_logger.analytics.rollups import Moments, MomentSums, Statistic
from scorers.base import Fields, Row, Scorer
from tests.scorers.aggregate import answer


def answers_of(scorer: Scorer, truths: Any, predictions: Any, more: Iterable[Statistic] = ()) -> dict[Statistic, Any]:
    """The answers to what estimates need to know, and to ``more``; both sides are arrays of one row a pair."""
    pairs = zip(truths.tolist(), predictions.tolist(), strict=True)
    rows: list[Fields] = [scorer.score(Row(t), Row(p)) for t, p in pairs]
    answers: dict[Statistic, Any] = {}
    for statistic in (*statistics_of(scorer.metrics), *more):
        if isinstance(statistic, Moments):
            x = np.array([row[statistic.field] for row in rows if statistic.field in row], dtype=float)
            known = (x.sum(), (x * x).sum(), x.min(), x.max()) if len(x) else (0.0, 0.0, 0.0, 0.0)
            answers[statistic] = MomentSums(len(x), *map(float, known))
        else:
            answers[statistic] = answer(statistic, rows)
    return answers


def mean_limits(x: Any, effect: float = 1.0, freedom: float | None = None) -> tuple[float, float]:
    """Student's interval of a mean; the half towards the more distant extreme is longer (docs/intervals.md)."""
    mean, half = x.mean(), _half(x, effect, freedom)
    above, below = x.max() - mean, mean - x.min()
    more = 2 * _nearness(x, effect) * (above - below) / (above + below)
    return mean - half * (1 + max(-more, 0)), mean + half * (1 + max(more, 0))


def loss_limits(x: Any, effect: float = 1.0, freedom: float | None = None) -> tuple[float, float]:
    """The same on the log scale, for values of 0 or more.

    The upper limit has Hall's first term of the error of Student's t, with the skewness of a lognormal distribution;
    both allow for large values that have not occurred.
    """
    half, variation = _half(x, effect, freedom) / x.mean(), x.std(ddof=1) / x.mean()
    quantile = stats.t.ppf(0.975, freedom or len(x) - 1)
    skewness = 3 * variation + variation**3
    term = ((2 * quantile**2 + 1) * skewness / 6 - quantile**2 * variation / 2) / math.sqrt(len(x) / effect)
    heaviness, nearness = np.clip((variation - 1) / 0.3, 0, 1), _nearness(x, effect)
    below = half * (1 + 0.3 * heaviness * np.clip(variation / 1.3, 1, 3) * nearness)
    above = half * (1 + term / quantile) * (1 + (0.5 + heaviness) * nearness)
    return x.mean() * math.exp(-below), x.mean() * math.exp(above)


def _half(x: Any, effect: float, freedom: float | None) -> float:
    return float(stats.t.ppf(0.975, freedom or len(x) - 1) * stats.sem(x) * math.sqrt(effect))


def _nearness(x: Any, effect: float) -> float:
    squares = (x - x.mean()) ** 2
    return float(min(effect * squares.max() / squares.sum() * (len(x) / effect) ** (1 / 3), 1))
