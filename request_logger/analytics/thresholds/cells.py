"""The confusion matrix at each edge of the score's bins, and what a threshold is judged by. Pure code."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from request_logger.analytics.errors import BadQueryError
from scorers.base import Bucket
from scorers.probabilities import SCORE_BINS, SCORE_LOGIT_LIMIT, sigmoid

Array = NDArray[np.float64]
_NAMES = ("tp", "fp", "fn", "tn")


@dataclass(frozen=True, slots=True)
class Costs:
    """The value of one prediction by its outcome; a cost is negative."""

    tp: float = 0.0
    fp: float = 0.0
    fn: float = 0.0
    tn: float = 0.0

    @classmethod
    def of(cls, text: str) -> Costs:
        """Return the values of a text such as ``tp=0,fp=-1,fn=-10,tn=0``; what it lacks is 0. Raises BadQueryError."""
        values: dict[str, float] = {}
        for entry in text.split(","):
            name, _, number = (part.strip() for part in entry.partition("="))
            try:
                value = float(number)
            except ValueError:
                value = math.nan
            if name not in _NAMES or name in values or not math.isfinite(value):
                raise BadQueryError("--cost: expected values such as tp=0,fp=-1,fn=-10,tn=0, each at most once")
            values[name] = value
        if values.get("tp", 0.0) == values.get("fn", 0.0) and values.get("fp", 0.0) == values.get("tn", 0.0):
            raise BadQueryError("--cost: expected tp other than fn, or fp other than tn: else all thresholds are equal")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Cells:
    """The counts of the four outcomes: single numbers, or an array with one per threshold."""

    tp: Any
    fp: Any
    fn: Any
    tn: Any

    @property
    def n(self) -> Any:
        """All documents."""
        return self.tp + self.fp + self.fn + self.tn


# What a threshold is judged by: more is better.
Objective = Callable[[Cells], Any]


def value_by(costs: Costs) -> Objective:
    """Return the mean value of a prediction as the objective: the sum of value times count, divided by the count."""
    return lambda c: _ratio(costs.tp * c.tp + costs.fp * c.fp + costs.fn * c.fn + costs.tn * c.tn, c.n)


def f1(cells: Cells) -> Any:
    """Return 2 TP / (2 TP + FP + FN); 0 where it is undefined, as nothing is positive."""
    return _ratio(2 * cells.tp, 2 * cells.tp + cells.fp + cells.fn)


def _ratio(numerator: Any, denominator: Any) -> Any:
    shape = np.broadcast(numerator, denominator).shape
    found = np.divide(numerator, denominator, out=np.zeros(shape), where=np.asarray(denominator) != 0)
    return found if shape else float(found)


def counts_of(bins: Mapping[int, Bucket]) -> tuple[Array, Array]:
    """Return the numbers of positives and of negatives per bin of the score."""
    positives, documents = np.zeros(SCORE_BINS), np.zeros(SCORE_BINS)
    for key, bucket in bins.items():
        positives[key], documents[key] = bucket.sums["truth_positive"], bucket.count
    return positives, documents - positives


def by_threshold(positives: Array, negatives: Array) -> Cells:
    """Return the cells at SCORE_BINS + 1 thresholds: the lower edge of each bin, and one that no score reaches.

    Bins are along the last axis. At an edge the counts are exact: a bin is a range of scores.
    """
    tp, fp = (_sums_from(each) for each in (positives, negatives))
    return Cells(tp, fp, tp[..., :1] - tp, fp[..., :1] - fp)


def _sums_from(counts: Array) -> Array:
    """Return the sums from each bin to the last, and 0 above it."""
    above = np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]
    return np.concatenate([above, np.zeros((*counts.shape[:-1], 1))], axis=-1)


def threshold_of(edge: int) -> float | None:
    """Return the score of an edge: 0 for the first, None for the one that no score reaches."""
    if edge >= SCORE_BINS:
        return None
    return sigmoid(-SCORE_LOGIT_LIMIT + edge * 2 * SCORE_LOGIT_LIMIT / SCORE_BINS) if edge else 0.0


def distinct_edges(positives: Array, negatives: Array) -> Sequence[int]:
    """Return the edges with different counts: that of each bin with documents, and the last."""
    return [*np.flatnonzero(positives + negatives).tolist(), SCORE_BINS]
