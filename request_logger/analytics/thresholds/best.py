"""The best threshold, how certain it is, and what it is worth on documents that it was not chosen by. Pure code."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from request_logger.analytics import t_distribution
from request_logger.analytics.intervals import LEVEL
from request_logger.analytics.jackknife import jackknife_variance
from request_logger.analytics.thresholds.cells import Array, Cells, Objective, by_threshold

# 25 draws are beyond each end of a 95 % interval. The seed is fixed, so that a repeated look gives the same range.
_DRAWS = 1000
_SEED = 20_261_130


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """How certain the best threshold is.

    ``edges``: the range of best edges in 95 % of the draws. ``value``: the objective on documents that the threshold
    was not chosen by, with its interval; ``gain``: by how much that exceeds the threshold in use.
    """

    edges: tuple[int, int]
    value: float
    interval: tuple[float, float]
    gain: float | None = None
    gain_interval: tuple[float, float] | None = None


def best_edge(positives: Array, negatives: Array, objective: Objective) -> int:
    """Return the edge with the greatest objective, the lowest of several."""
    return int(np.argmax(objective(by_threshold(positives, negatives))))


def most_possible(positives: Array, negatives: Array, objective: Objective) -> float:
    """Return what no threshold can exceed, not even one within a bin.

    Within a bin a threshold has at best some of the bin's documents of the one class that is worth it.
    """
    cells = by_threshold(positives, negatives)
    values = [float(objective(cells).max())]
    above = Cells(*(each[1:] for each in (cells.tp, cells.fp, cells.fn, cells.tn)))
    for p, n in ((positives, 0.0), (0.0, negatives)):
        values.append(float(objective(Cells(above.tp + p, above.fp + n, above.fn - p, above.tn - n)).max()))
    return max(values)


def uncertainty(positives: Array, negatives: Array, objective: Objective, current: Cells | None = None) -> Uncertainty:
    """Return how certain the best threshold is, from the counts of each fold (the first axis): see `Uncertainty`.

    The range is that of 1,000 samples of folds with replacement. The value is cross-fitted: the threshold is chosen on
    all folds but one, and judged on that one; its variance is the jackknife's. ``current`` are the cells of each fold
    with the threshold in use.
    """
    folds = len(positives)
    generator = np.random.default_rng(_SEED)
    weights = generator.multinomial(folds, np.full(folds, 1 / folds), size=_DRAWS).astype(float)
    drawn = np.argmax(objective(by_threshold(weights @ positives, weights @ negatives)), axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5], method="inverted_cdf")
    fitted = _cross_fitted(positives, negatives, objective)
    value, interval = _with_interval([objective(_sum(fitted, j)) for j in range(-1, folds)])
    if current is None:
        return Uncertainty((int(low), int(high)), value, interval)
    gains = [objective(_sum(fitted, j)) - objective(_sum(current, j)) for j in range(-1, folds)]
    return Uncertainty((int(low), int(high)), value, interval, *_with_interval(gains))


def _cross_fitted(positives: Array, negatives: Array, objective: Objective) -> Cells:
    """Return the cells of each fold at the threshold that is best on all others."""
    others = by_threshold(positives.sum(axis=0) - positives, negatives.sum(axis=0) - negatives)
    chosen = np.argmax(objective(others), axis=1)
    own = by_threshold(positives, negatives)
    row = np.arange(len(positives))
    return Cells(*(each[row, chosen] for each in (own.tp, own.fp, own.fn, own.tn)))


def _sum(cells: Cells, left_out: int) -> Cells:
    """Return the sum over all folds but one; over all for -1."""
    kept = np.arange(len(cells.tp)) != left_out
    return Cells(*(float(each[kept].sum()) for each in (cells.tp, cells.fp, cells.fn, cells.tn)))


def _with_interval(values: list[float]) -> tuple[float, tuple[float, float]]:
    """Return the first value, and its interval from the others, those without each fold."""
    whole, *without = values
    half = t_distribution.quantile(LEVEL, len(without) - 1) * math.sqrt(jackknife_variance(without))
    return whole, (whole - half, whole + half)
