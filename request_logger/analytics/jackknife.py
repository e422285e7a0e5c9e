"""Intervals from the spread between folds: the grouped jackknife (delete one fold at a time).

A document's `fold` is one of 20 groups, in which documents that belong together stay together (documents.folds). What
differs between the folds is therefore independent, whatever the documents within a fold have in common. One search has
the sums of every fold, and the metrics of all documents but one fold's follow from these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from request_logger.analytics import t_distribution
from request_logger.analytics.buckets import Segment, fill
from request_logger.analytics.intervals import LEVEL, Found, Interval, NoInterval
from request_logger.analytics.queries import Answers, QueryRunner
from request_logger.analytics.rollups import Moments, MomentSums, Statistic
from request_logger.analytics.scope import Query, Scope
from request_logger.analytics.shares import Dependence
from request_logger.documents.folds import FOLD, FOLDS
from scorers.base import AtMost, Bucket, Count, Having, Sum, SumBy, Terms, TermsBy

# With fewer folds that have documents, the variance between them is too uncertain, and so is that of few documents.
_LEAST_FOLDS = 10
# With fewer documents in a fold on average, a metric without some of them is not yet close to normal.
_LEAST_PER_FOLD = 5
# A share of the squares between the folds: a single fold that has more of them decides the variance alone, as one with
# a value from a heavy tail does.
_MOST_OF_ONE = 0.5
# Below so many independent documents of the rarest kind (hits, misses, a class), the variance between the folds says
# little: most folds have none of them.
_FEW = 5


@dataclass(frozen=True, slots=True)
class Folds:
    """The sums of some documents without each fold in turn.

    ``without``: for each fold that has documents, the answers over all the others. ``sizes``: their documents.
    ``missing``: documents without a fold. ``are_together``: documents within a fold belong together, as the rows of a
    batch do.
    """

    without: tuple[Answers, ...]
    sizes: tuple[int, ...]
    missing: int = 0
    are_together: bool = False

    @property
    def largest(self) -> float:
        """The share of the largest fold."""
        return max(self.sizes, default=0) / max(sum(self.sizes), 1)

    @property
    def problem(self) -> NoInterval | None:
        """Why they give no interval; None if they do."""
        if self.missing:
            return NoInterval.WITHOUT_FOLD
        return NoInterval.FEW_FOLDS if len(self.sizes) < _LEAST_FOLDS else None

    @property
    def cautious(self) -> Dependence:
        """The dependence of documents of which nothing is known: each fold counts as one document."""
        return Dependence((sum(self.sizes) + self.missing) / max(len(self.sizes), 1), max(self.freedom, 1))

    @property
    def freedom(self) -> int:
        """Student's degrees of freedom."""
        return len(self.sizes) - 1


def fetch_folds(
    runner: QueryRunner,
    scope: Scope,
    statistics: Sequence[Statistic],
    only: Query,
    documents: int,
    *,
    are_together: bool,
) -> Folds:
    """Return the folds of a task's documents, by one search. Raises what :class:`QueryRunner` raises."""
    found = [each for each in fold_segments(runner, scope, statistics, only) if each.count]
    sizes = tuple(each.count for each in found)
    return Folds(without_each([each.answers for each in found]), sizes, max(documents - sum(sizes), 0), are_together)


def fold_segments(runner: QueryRunner, scope: Scope, statistics: Sequence[Statistic], *more: Query) -> list[Segment]:
    """Return the documents of each of the FOLDS with their sums, by one search."""
    segments = [Segment(fold, str(fold), 0, {"term": {FOLD: fold}}, {}) for fold in range(FOLDS)]
    return fill(runner, scope, statistics, segments, more)


def without_each(answers: Sequence[Answers]) -> tuple[Answers, ...]:
    """Return for each of some disjoint groups the answers over all the others; empty for fewer than two."""
    if len(answers) < 2:
        return ()
    before = list(accumulate(answers, merged))
    after = list(accumulate(reversed(answers), merged))[::-1]
    inner = [merged(before[k - 1], after[k + 1]) for k in range(1, len(answers) - 1)]
    return after[1], *inner, before[-2]


def merged(one: Answers, other: Answers) -> Answers:
    """Return the answers over two disjoint groups of documents."""
    return {statistic: _sum(statistic, one[statistic], other[statistic]) for statistic in one}


def _sum(statistic: Statistic, one: Any, other: Any) -> Any:
    match statistic:
        case Count() | Sum() | AtMost() | Having():
            return one + other
        case Moments():
            return _sum_of_moments(one, other)
        case Terms():
            return _sum_of_tables(one, other, lambda a, b: a + b)
        case TermsBy():
            return _sum_of_tables(one, other, lambda a, b: _sum_of_tables(a, b, lambda c, d: c + d))
        case SumBy():
            return _sum_of_tables(one, other, _sum_of_buckets)


def _sum_of_moments(one: MomentSums, other: MomentSums) -> MomentSums:
    if not one.n or not other.n:
        return one if one.n else other
    return MomentSums(
        one.n + other.n,
        one.total + other.total,
        one.squares + other.squares,
        min(one.low, other.low),
        max(one.high, other.high),
    )


def _sum_of_tables(one: Mapping[Any, Any], other: Mapping[Any, Any], add: Callable[[Any, Any], Any]) -> dict[Any, Any]:
    found = dict(one)
    for key, value in other.items():
        found[key] = add(found[key], value) if key in found else value
    return found


def _sum_of_buckets(one: Bucket, other: Bucket) -> Bucket:
    return Bucket(one.count + other.count, {field: total + other.sums[field] for field, total in one.sums.items()})


def design_effect(values: Sequence[float | None], interval: Interval, folds: Folds) -> float:
    """Return the variance of a metric between folds, relative to that for independent documents; at least 1.

    ``values`` are the metric's without each fold, ``interval`` is that for independent documents.

    Where too few independent documents are of the rarest kind, each fold counts as one document.
    """
    documents_per_fold = sum(folds.sizes) / len(folds.sizes)
    if not interval.error or None in values:
        return documents_per_fold
    effect = max(jackknife_variance(_known(values)) / interval.error**2, 1.0)
    if interval.least is not None and interval.least / effect < _FEW:
        return max(effect, documents_per_fold)
    return effect


def jackknife_interval(
    whole: float,
    values: Sequence[float | None],
    folds: Folds,
    bounds: tuple[float, float],
    unseen: tuple[float, float] = (0.0, 0.0),
) -> Found:
    """Return the interval of a metric from its values without each fold, by Student's t with one less than the folds.

    It is symmetric on a scale that has no bounds: the logarithm of the distance to the one bound, or the logit; but for
    ``unseen``, by how much of their lengths the halves towards small and large distances are too short (`means`).
    """
    if folds.problem is not None:
        return folds.problem
    if sum(folds.sizes) < _LEAST_PER_FOLD * len(folds.sizes):
        return NoInterval.FEW_PER_FOLD
    if None in values:
        return NoInterval.FEW_FOLDS
    scale = _Scale.of(bounds, (whole, *_known(values)))
    moved = [scale.to(each) for each in _known(values)]
    mean = math.fsum(moved) / len(moved)
    squares = [(each - mean) ** 2 for each in moved]
    total = math.fsum(squares)
    if not total:
        return NoInterval.ALL_EQUAL
    if max(squares) > _MOST_OF_ONE * total:
        return NoInterval.LARGE_VALUES
    half = t_distribution.quantile(LEVEL, folds.freedom) * math.sqrt(jackknife_variance(moved))
    more_below, more_above = unseen
    ends = sorted(scale.back(scale.to(whole) + each) for each in (-half * (1 + more_below), half * (1 + more_above)))
    return Interval(ends[0], ends[1], "jackknife over folds")


def jackknife_variance(values: Sequence[float]) -> float:
    """Return the jackknife's variance: (k - 1) / k times the squares of the k values around their mean."""
    k = len(values)
    mean = math.fsum(values) / k
    return (k - 1) / k * math.fsum((each - mean) ** 2 for each in values)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


@dataclass(frozen=True, slots=True)
class _Scale:
    """A monotone function of a metric, and its inverse."""

    to: Callable[[float], float]
    back: Callable[[float], float]

    @classmethod
    def of(cls, bounds: tuple[float, float], values: Sequence[float]) -> _Scale:
        low, high = bounds
        if not all(low < value < high for value in values):
            return cls(float, float)
        if math.isfinite(high) and low in (-math.inf, -1.0):
            # Such as R2 and kappa, which are 1 minus a quotient.
            return cls(lambda value: math.log(high - value), lambda moved: max(high - _exp(moved), low))
        if math.isfinite(low) and math.isinf(high):
            return cls(lambda value: math.log(value - low), lambda moved: low + _exp(moved))
        if math.isfinite(low):
            width = high - low
            return cls(
                lambda value: math.log((value - low) / (high - value)),
                lambda moved: low + width / (1 + _exp(-moved)),
            )
        return cls(float, float)


def _exp(value: float) -> float:
    # Beyond 700 the result exceeds a double.
    return math.exp(min(value, 700.0))
