"""Intervals of shares, of F1 and of the AUC: also for rare events, and for values near 0 and 1.

Counts may be fractions: counts of documents that belong together are divided by their design effect (`jackknife`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from request_logger.analytics import t_distribution
from request_logger.analytics.intervals import LEVEL, Interval, z_of

_Z = z_of(LEVEL)
# Wilson's interval misses the true share too often (.84 instead of .95) where there are few hits or few misses. Below
# this number the limit on that side is Poisson's, also below the second one where they are less than a fifth: so the
# coverage of any share is at least .93 from 50 documents on (with the first number alone: .926).
_FEW, _FEW_OF_MANY = 10, 15
_MANY = 5
# The probability beyond Poisson's limit. It is twice that of a limit on each side: for a rare event, the other limit is
# hardly ever missed.
_TAIL = 0.05
# Halvings of an interval within [0, 1] or [0, _FEW_OF_MANY] that are below the precision of a double.
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Dependence:
    """How much the documents belong together.

    ``effect`` is the design effect: the variance of a metric, relative to that for as many independent documents.
    ``freedom`` are Student's degrees of freedom of that variance, None where documents are independent.
    """

    effect: float = 1.0
    freedom: float | None = None

    def quantile(self, freedom: float | None = None) -> float:
        """Return the two-sided quantile of the level; ``freedom`` is that of independent documents (None: normal)."""
        known = freedom if self.freedom is None else self.freedom
        return _Z if known is None else t_distribution.quantile(LEVEL, known)


INDEPENDENT = Dependence()


def share_interval(hits: float, n: float, together: Dependence = INDEPENDENT) -> Interval | None:
    """Return the interval of a share; None without trials.

    Wilson's (1927), as modified for few hits or few misses by Brown, Cai and DasGupta (2001).
    """
    if n <= 0:
        return None
    share = hits / n
    error, least = math.sqrt(share * (1 - share) / n), min(hits, n - hits)
    hits, n = hits / together.effect, n / together.effect
    quantile = together.quantile()
    square = quantile * quantile
    center = (share + square / (2 * n)) / (1 + square / n)
    half = quantile / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    low, high = max(center - half, 0.0), min(center + half, 1.0)
    if _are_few(hits, n):
        low = min(low, _poisson_limit(hits) / n)
    if _are_few(n - hits, n):
        high = max(high, 1 - _poisson_limit(n - hits) / n)
    return Interval(low, high, "Wilson", error, least)


def _are_few(events: float, n: float) -> bool:
    return events < (_FEW_OF_MANY if _MANY * events < n else _FEW)


def f1_interval(true_positive: float, wrong: float, together: Dependence = INDEPENDENT) -> Interval | None:
    """Return the interval of F1: that of the share J = TP / (TP + FP + FN), by F1 = 2 J / (1 + J).

    ``wrong`` is FP + FN.
    """
    found = share_interval(true_positive, true_positive + wrong, together)
    if found is None or found.error is None:
        return None
    jaccard = true_positive / (true_positive + wrong)
    low, high = (2 * j / (1 + j) for j in (found.low, found.high))
    return Interval(low, high, "Wilson on Jaccard", found.error * 2 / (1 + jaccard) ** 2, found.least)


def auc_interval(
    area: float, positives: float, negatives: float, bound: float, together: Dependence = INDEPENDENT
) -> Interval:
    """Return the interval of an AUC by Newcombe's method 5 (2006), extended by ``bound`` to each side.

    Its limits are the areas whose distance from ``area`` is 1.96 standard errors of their own, so that it is neither
    empty nor beyond 1 for an area of 1. ``bound`` is the greatest error of the area that comes from binning.
    """
    error = math.sqrt(_auc_variance(area, positives, negatives))
    least = min(positives, negatives)
    positives, negatives = positives / together.effect, negatives / together.effect
    square = together.quantile() ** 2

    def is_apart(limit: float) -> bool:
        return (area - limit) ** 2 > square * _auc_variance(limit, positives, negatives)

    low, high = _limit(area, 0.0, is_apart), _limit(area, 1.0, is_apart)
    return Interval(max(low - bound, 0.0), min(high + bound, 1.0), "Newcombe 5, bins", error, least)


def _auc_variance(area: float, positives: float, negatives: float) -> float:
    """Return Hanley and McNeil's variance of an AUC, with both numbers replaced by their mean (Newcombe 2006)."""
    # At least 0: fractions of documents may add up to less than two.
    others = max((positives + negatives) / 2 - 1, 0.0)
    shape = 1 + others * (1 - area) / (2 - area) + others * area / (1 + area)
    return area * (1 - area) * shape / (positives * negatives)


def _limit(area: float, end: float, is_apart: Callable[[float], bool]) -> float:
    """Return the farthest value from ``area`` towards ``end`` that is not apart."""
    near, far = area, end
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        near, far = (near, middle) if is_apart(middle) else (middle, far)
    return near


@lru_cache(maxsize=1024)
def _poisson_limit(events: float) -> float:
    """Return the expected number of events that is so low that _TAIL of Poisson's counts are at least ``events``.

    For fractions, the gamma distribution with this shape stands for the sum over counts.
    """
    if events <= 0:
        return 0.0
    low, high = 0.0, float(_FEW_OF_MANY)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _gamma_below(events, middle) < _TAIL else (low, middle)
    return low


def _gamma_below(shape: float, x: float) -> float:
    """Return the gamma distribution's probability below x, by its series (DLMF 8.11.4)."""
    if x <= 0:
        return 0.0
    term = math.exp(shape * math.log(x) - x - math.lgamma(shape + 1))
    total, step = term, 0
    while term > 1e-17 * total:
        step += 1
        term *= x / (shape + step)
        total += term
    return total
