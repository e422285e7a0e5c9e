"""Intervals of averages over classes, and of what else the confusion matrix gives, for documents with one class each.

A mean over classes combines the intervals of its classes (MOVER: Zou and Donner 2008, which is Newcombe's method for a
difference): each class keeps the interval of its own counts, so that rare classes are allowed for. A class that is in
no truth and in no prediction of these documents is not part of the mean, nor of its interval. The distances to one end
say nothing about the other: a class of two documents that are both right has no distance to its upper end. The interval
of Price and Bonett (2004), which adds documents to each class, is therefore always part of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from request_logger.analytics import t_distribution
from request_logger.analytics.intervals import LEVEL, Found, Interval, NoInterval
from request_logger.analytics.jackknife import Folds, design_effect
from request_logger.analytics.shares import INDEPENDENT, Dependence, f1_interval, share_interval
from scorers.classification import ClassCounts, class_counts

Matrix = Mapping[str, Mapping[str, int]]
# Fewer documents outside of the most frequent class determine neither MCC nor kappa.
_LEAST_OTHERS = 5
# With fewer, classes that are hardly ever predicted decide a weighted precision (simulated: it misses in 11 %).
_LEAST_PER_CLASS = 10
# Hits and as many misses that are added to all classes together (Price and Bonett 2004): with one for each of two
# classes this is the interval of Agresti and Caffo.
_ADDED = 2.0
WEIGHTED = frozenset({"precision_weighted", "f1_weighted"})
"""The names of the metrics of `weighted_interval`."""


@dataclass(frozen=True, slots=True)
class Part:
    """One class's term of a mean: its value, its interval, and the terms of its covariance with other classes.

    ``slope`` is the derivative by one document in a wrong cell; ``variance`` is that of the value. ``value`` is ``of``
    the share of ``hits`` in independent ``trials``, which gives the value and its derivative by the share.
    """

    value: float
    low: float
    high: float
    variance: float
    hits: float
    trials: float
    of: Callable[[float], tuple[float, float]]
    slope: float = 0.0

    def adjusted(self, added: float) -> tuple[float, float]:
        """Return the value and its standard error with so many more hits, and as many more misses."""
        trials = self.trials + 2 * added
        share = (self.hits + added) / trials
        value, slope = self.of(share)
        return value, slope * math.sqrt(share * (1 - share) / trials)


def _as_share(share: float) -> tuple[float, float]:
    return share, 1.0


def _as_f1(jaccard: float) -> tuple[float, float]:
    return 2 * jaccard / (1 + jaccard), 2 / (1 + jaccard) ** 2


def macro_interval(name: str, value: float, matrix: Matrix, together: Dependence = INDEPENDENT) -> Found | None:
    """Return the interval of ``balanced_accuracy``, ``precision_macro``, ``recall_macro`` or ``f1_macro``.

    F1 has none with few documents per class: it is not linear (simulated: an interval would miss in 11 %). None for any
    other metric, also for one of this name whose ``value`` is another.
    """
    if name not in _PARTS:
        return None
    of, is_defined = _PARTS[name]
    counts = class_counts({"matrix": matrix})
    parts = {label: of(each, together) for label, each in counts.items() if is_defined(each)}
    if not parts or not math.isclose(value, _mean(parts), rel_tol=1e-12):
        return None
    hits = sum(each.true_positive for each in counts.values())
    documents = sum(each.support for each in counts.values())
    if name == "f1_macro" and documents < _LEAST_PER_CLASS * len(parts):
        return NoInterval.FEW_PER_CLASS
    least = min(documents - hits, *(each.support for each in counts.values() if each.support))
    return combined(parts, _correlations(parts, matrix), least, together)


def specificity_interval(value: float, matrix: Matrix, together: Dependence = INDEPENDENT) -> Interval | None:
    """Return the interval of ``specificity_micro``: that of the accuracy, of which it is a linear function.

    Of n documents and K classes, each miss is one of n (K - 1) answers on the other classes. Where a class is rare in
    these documents they may lack another one: the upper limit is then that for one class more. None for another value.
    """
    counts = class_counts({"matrix": matrix})
    k = len(counts)
    n = sum(sum(row.values()) for row in matrix.values())
    hits = sum(row.get(truth, 0) for truth, row in matrix.items())
    found = share_interval(hits, n, together)
    if found is None or found.error is None or k < 2:
        return None
    most = k - 1 + (min(each.support for each in counts.values()) / together.effect < _LEAST_PER_CLASS)
    own, low, high = (
        1 - (1 - share) / many for share, many in ((hits / n, k - 1), (found.low, k - 1), (found.high, most))
    )
    if not math.isclose(value, own, rel_tol=1e-12):
        return None
    return replace(found, low=low, high=high, error=found.error / (k - 1))


def _mean(parts: Mapping[str, Part]) -> float:
    return math.fsum(part.value for part in parts.values()) / len(parts)


def combined(
    parts: Mapping[str, Part], correlations: Iterable[tuple[str, str, float]], least: float, together: Dependence
) -> Interval:
    """Return the interval of the mean of some classes' values, from their own intervals and correlations."""
    value, k = _mean(parts), len(parts)
    adjusted = {label: part.adjusted(_ADDED / k) for label, part in parts.items()}
    below = variance = above = spread = 0.0
    for first, second, correlation in correlations:
        one, two = parts[first], parts[second]
        below += correlation * (one.value - one.low) * (two.value - two.low)
        above += correlation * (one.high - one.value) * (two.high - two.value)
        variance += correlation * math.sqrt(one.variance * two.variance)
        spread += correlation * adjusted[first][1] * adjusted[second][1]
    low, high = value - math.sqrt(max(below, 0.0)) / k, value + math.sqrt(max(above, 0.0)) / k
    if k > 1:
        center = math.fsum(each for each, _ in adjusted.values()) / k
        half = together.quantile() * math.sqrt(max(spread, 0.0)) / k
        low, high = min(low, center - half), max(high, center + half)
    return Interval(max(low, 0.0), min(high, 1.0), "MOVER of Wilson", math.sqrt(max(variance, 0.0)) / k, least)


def _correlations(parts: Mapping[str, Part], matrix: Matrix) -> Iterator[tuple[str, str, float]]:
    """Yield the correlation of each two classes' values, by the delta method; those of 0 are left out."""
    for label in parts:
        yield label, label, 1.0
    for truth, row in matrix.items():
        for said, count in row.items():
            if truth == said or truth not in parts or said not in parts:
                continue
            one, two = parts[truth], parts[said]
            scale = math.sqrt(one.variance * two.variance)
            if scale:
                # The documents of this cell are a miss of one class and a false alarm of the other.
                correlation = count * one.slope * two.slope / scale
                yield truth, said, correlation
                yield said, truth, correlation


_Shape = Callable[[ClassCounts, Dependence], Part]


def share_part(hits: float, n: float, together: Dependence) -> Part:
    """Return the term of a class whose value is a share."""
    found = share_interval(hits, n, together)
    if found is None:
        # A class that was never predicted: its precision counts as 0, and may be anything.
        return Part(0.0, 0.0, 1.0, 0.0, 0.0, 0.0, _as_share)
    share, effect = hits / n, together.effect
    return Part(share, found.low, found.high, share * (1 - share) / n, hits / effect, n / effect, _as_share)


def _precision(counts: ClassCounts, together: Dependence) -> Part:
    return share_part(counts.true_positive, counts.true_positive + counts.false_positive, together)


def _recall(counts: ClassCounts, together: Dependence) -> Part:
    return share_part(counts.true_positive, counts.support, together)


def f1_part(hits: float, wrong: float, together: Dependence) -> Part:
    """Return the term of a class's F1; ``wrong`` is FP + FN."""
    found = f1_interval(hits, wrong, together)
    assert found is not None
    whole = 2 * hits + wrong
    slope = -2 * hits / whole**2
    variance = hits * (2 * wrong / whole**2) ** 2 + wrong * slope**2
    trials = (hits + wrong) / together.effect
    return Part(2 * hits / whole, found.low, found.high, variance, hits / together.effect, trials, _as_f1, slope)


def _is_any(counts: ClassCounts) -> bool:
    return True


def _is_true(counts: ClassCounts) -> bool:
    return counts.support > 0


def _f1(counts: ClassCounts, together: Dependence) -> Part:
    return f1_part(counts.true_positive, counts.false_positive + counts.false_negative, together)


# By name: the value of one class, and which classes are part of the mean.
_PARTS: dict[str, tuple[_Shape, Callable[[ClassCounts], bool]]] = {
    "balanced_accuracy": (_recall, _is_true),
    "precision_macro": (_precision, _is_any),
    "recall_macro": (_recall, _is_any),
    "f1_macro": (_f1, _is_any),
}
MACRO = frozenset(_PARTS)
"""The names of the metrics of `macro_interval`."""


def weighted_interval(
    value: float,
    matrix: Matrix,
    drawn: Sequence[float],
    accuracies: Sequence[float],
    together: Dependence = INDEPENDENT,
) -> Found:
    """Return the interval of a mean over classes weighted by support, which varies as the accuracy does.

    Its limits are as far from ``value`` as those of the accuracy are from it, times the ratio of
    the spreads of ``drawn`` and ``accuracies``, the values of both in drawn matrices; or as far as those of
    `drawn_interval`, where these are farther. Where that has none there is none, but for documents of a single class.
    """
    supports = [sum(row.values()) for row in matrix.values()]
    n, others = sum(supports), sum(supports) - max(supports)
    if n < _LEAST_PER_CLASS * len({*matrix, *(label for row in matrix.values() for label in row)}):
        return NoInterval.FEW_PER_CLASS
    hits = sum(row.get(label, 0) for label, row in matrix.items())
    found = share_interval(hits, n, together)
    if found is None or found.error is None or (n > 1 and not len(drawn) == len(accuracies) > 1):
        return NoInterval.MANY_CELLS
    ratio = _ratio(drawn, accuracies)
    low, high = _scaled(value, hits / n, found, ratio)
    if others:
        own = drawn_interval(value, (0.0, 1.0), others, drawn, together)
        if isinstance(own, NoInterval):
            return own
        low, high = min(low, own.low), max(high, own.high)
    return Interval(max(low, 0.0), min(high, 1.0), "Wilson, scaled", ratio * found.error, found.least)


def drawn_interval(
    value: float,
    bounds: tuple[float, float],
    others: int,
    drawn: Sequence[float],
    together: Dependence = INDEPENDENT,
    least: int | None = None,
) -> Found:
    """Return the interval of any metric of the confusion matrix from its values in drawn matrices.

    ``others`` is the number of documents that are not of the most frequent class, ``least`` that of the rarest kind
    (default: these). The percentiles are expanded (Hesterberg 2015) by as much as Student's t for the others is wider
    than the normal distribution.
    """
    independent = others / together.effect
    if independent < _LEAST_OTHERS:
        return NoInterval.FEW_OTHERS
    if not drawn:
        return NoInterval.MANY_CELLS
    freedom = independent - 1 if together.freedom is None else min(independent - 1, together.freedom)
    wide = math.sqrt(independent / (independent - 1)) * t_distribution.quantile(LEVEL, freedom)
    beyond = NormalDist().cdf(-wide)
    found = percentile_interval(drawn, 1 - 2 * beyond)
    # The mean of the draws differs from the value, since no cell of a drawn matrix is empty.
    low, high = max(min(found.low, value), bounds[0]), min(max(found.high, value), bounds[1])
    if low == high:
        return NoInterval.ALL_EQUAL
    return replace(
        found,
        low=low,
        high=high,
        error=float(np.std(drawn)) / math.sqrt(together.effect),
        least=others if least is None else least,
    )


def corrected_interval(
    value: float,
    hits: float,
    n: float,
    others: int,
    drawn: Sequence[float],
    accuracies: Sequence[float],
    together: Dependence = INDEPENDENT,
    least: int | None = None,
) -> Found:
    """Return the interval of kappa or MCC, the accuracy (``hits`` of ``n``) corrected for chance.

    It is that of `drawn_interval`, or as wide as the accuracy's, scaled as in `weighted_interval`, where that is wider:
    near 1, where few documents are wrong, the draws alone have too many misses.
    """
    own = drawn_interval(value, (-1.0, 1.0), others, drawn, together, least)
    found = share_interval(hits, n, together)
    if isinstance(own, NoInterval) or found is None or not accuracies:
        return own
    low, high = _scaled(value, hits / n, found, _ratio(drawn, accuracies))
    return replace(own, low=max(min(own.low, low), -1.0), high=min(max(own.high, high), 1.0))


def _ratio(drawn: Sequence[float], accuracies: Sequence[float]) -> float:
    """Return how much more a metric varies in drawn matrices than the accuracy; of one class, the two are the same."""
    spread = float(np.std(accuracies)) if len(accuracies) else 0.0
    return float(np.std(drawn)) / spread if spread else 1.0


def _scaled(value: float, accuracy: float, found: Interval, ratio: float) -> tuple[float, float]:
    """Return the limits as far from ``value`` as those of the accuracy are from it, times ``ratio``."""
    return value - ratio * (accuracy - found.low), value + ratio * (found.high - accuracy)


def percentile_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Return the percentile interval of drawn values."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Interval(low, high, "Dirichlet draws")


Table = Mapping[str, Mapping[str, Any]]


def intervals_by_class(table: Table, folds: Folds | None = None, without: Sequence[Table] = ()) -> dict[str, Any]:
    """Return the intervals of precision, recall and F1 per class, from the table ``per_class``.

    Where documents belong together, ``folds`` are theirs, and ``without`` has the table without each fold.
    """
    found: dict[str, dict[str, Interval]] = {}
    for label, row in table.items():
        found[label] = {}
        for name, of in _OF_CLASS.items():
            interval = of(row, INDEPENDENT)
            if interval is not None and folds is not None:
                values = [some.get(label, {}).get(name) for some in without]
                own = Dependence(design_effect(values, interval, folds), folds.freedom)
                interval = of(row, own)
            if interval is not None:
                found[label][name] = interval
    return found


def _shares_of(hits: str, misses: str) -> Callable[[Mapping[str, Any], Dependence], Interval | None]:
    return lambda row, together: share_interval(row[hits], row[hits] + row[misses], together)


_OF_CLASS: dict[str, Callable[[Mapping[str, Any], Dependence], Interval | None]] = {
    "precision": _shares_of("true_positive", "false_positive"),
    "recall": _shares_of("true_positive", "false_negative"),
    "f1": lambda row, together: f1_interval(
        row["true_positive"], row["false_positive"] + row["false_negative"], together
    ),
}
