"""Variances of micro, macro and weighted averages over labels, for documents with several labels.

The labels of one document are not independent, so the variance also needs how often each two are hit together. These
co-occurrences are counts, with which the delta method is exact in its sums: per document, sum over its cells (a label's
true positive, false positive or false negative) the average's derivative by that cell's count; the average's variance
is n times the variance of this sum over the documents.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from request_logger.analytics.class_averages import Part, combined, f1_part, share_part
from request_logger.analytics.intervals import Interval
from request_logger.analytics.queries import Answers, QueryRunner
from request_logger.analytics.rollups import Statistic
from request_logger.analytics.scope import Query, Scope
from request_logger.analytics.shares import INDEPENDENT, Dependence, share_interval
from scorers.base import Metric, TermsBy
from scorers.classification import CELLS, ClassCounts, class_counts

# Six co-occurrence tables of 50 x 50 labels are 15,000 buckets, a quarter of the default limit of one search (65,536).
MOST_LABELS = 50
_FIELDS = ("true_positive", "false_positive", "false_negative")
# Each unordered pair of fields once: how often any two cells occur in one document.
COOCCURRENCES: tuple[TermsBy, ...] = tuple(
    TermsBy(second, by=first) for k, first in enumerate(_FIELDS) for second in _FIELDS[k:]
)
# ratio = hit * TP / (hit * TP + wrong * FP + missed * FN)
_COEFFICIENTS: Mapping[str, tuple[int, int, int]] = {
    "precision": (1, 1, 0),
    "recall": (1, 0, 1),
    "f1": (2, 1, 1),
    "jaccard": (1, 1, 1),
}
Cell = tuple[str, str]


def fetch_cooccurrences(runner: QueryRunner, scope: Scope, answers: Answers, *more: Query) -> Answers:
    """Return how often cells occur together; empty unless documents have several labels, and above MOST_LABELS.

    ``answers`` are the values of the metrics' own needs. Raises what :class:`QueryRunner` raises.
    """
    if not set(CELLS.values()) <= answers.keys():
        return {}
    counts = class_counts({key: answers[need] for key, need in CELLS.items()})
    if sum(each.support for each in counts.values()) == answers[CELLS["n"]] or len(counts) > MOST_LABELS:
        return {}
    statistics: tuple[Statistic, ...] = COOCCURRENCES
    return runner.fetch(scope, statistics, *more)


def variance_of_average(metric: Metric, answers: Answers) -> float | None:
    """Return the variance of an average over labels by the delta method; None where it is unknown.

    It is unknown for other metrics, without the values of :func:`fetch_cooccurrences`, and where all documents are
    alike: a normal interval would then be a single point, however few documents there are.
    """
    if set(metric.needs.values()) != set(CELLS.values()) or not set(COOCCURRENCES) <= answers.keys():
        return None
    ratio, _, average = metric.name.rpartition("_")
    if ratio not in _COEFFICIENTS or average not in ("micro", "macro", "weighted"):
        return None
    values = {key: answers[metric.needs[key]] for key in CELLS}
    slopes = _slopes(ratio, average, class_counts(values))
    squares = 0.0
    for need in COOCCURRENCES:
        for first, row in answers[need].items():
            for second, count in row.items():
                product = slopes.get((need.by, first), 0.0) * slopes.get((need.field, second), 0.0)
                # A table of two different fields also stands for its transpose.
                squares += (1 if need.by == need.field else 2) * product * count
    total = math.fsum(
        slopes.get((field, label), 0.0) * count
        for field, key in zip(_FIELDS, ("tp", "fp", "fn"), strict=True)
        for label, count in values[key].items()
    )
    variance = squares - total * total / values["n"]
    return variance if variance > 1e-13 * squares else None


def interval_of_average(metric: Metric, answers: Answers, together: Dependence = INDEPENDENT) -> Interval | None:
    """Return the interval of an average over labels; None where :func:`variance_of_average` is None.

    A macro average combines the labels' own intervals (`class_averages`), with their correlation by the delta method.
    For the other averages Wilson's interval has as many trials as give the variance of the delta method.
    """
    average = average_of(metric, answers)
    if average is None or not 0.0 < average[0] < 1.0:
        return None
    value, variance = average
    ratio, _, kind = metric.name.rpartition("_")
    if kind != "macro":
        n = value * (1 - value) / variance
        found = share_interval(value * n, n, together)
        return replace(found, method="Wilson, delta method") if found else None
    counts = class_counts({key: answers[metric.needs[key]] for key in CELLS})
    cells = {label: (c.true_positive, c.false_positive, c.false_negative) for label, c in counts.items()}
    parts = {label: _part(ratio, each, together) for label, each in cells.items()}
    least = min(min(tp, fp + fn) for tp, fp, fn in cells.values())
    return combined(parts, _label_correlations(ratio, cells, answers), least, together)


def _part(ratio: str, cell: tuple[int, int, int], together: Dependence) -> Part:
    hit, wrong, missed = _COEFFICIENTS[ratio]
    tp, fp, fn = cell
    if hit == 2:
        return f1_part(tp, fp + fn, together)
    return share_part(tp, tp + wrong * fp + missed * fn, together)


def _label_correlations(
    ratio: str, cells: Mapping[str, tuple[int, int, int]], answers: Answers
) -> Iterator[tuple[str, str, float]]:
    """Yield the correlation of each two labels' values; those of 0 are left out, and 1 stands for a label itself."""
    slopes = {
        (field, label): slope
        for label, each in cells.items()
        for field, slope in zip(_FIELDS, _derivatives(ratio, *each), strict=True)
    }
    sums: dict[tuple[str, str], float] = {}
    for need in COOCCURRENCES:
        for first, row in answers[need].items():
            for second, count in row.items():
                product = slopes.get((need.by, first), 0.0) * slopes.get((need.field, second), 0.0) * count
                # A table of two different fields also stands for its transpose.
                for pair in ((first, second),) if need.by == need.field else ((first, second), (second, first)):
                    sums[pair] = sums.get(pair, 0.0) + product
    for label in cells:
        yield label, label, 1.0
    for (first, second), covariance in sums.items():
        scale = math.sqrt(sums.get((first, first), 0.0) * sums.get((second, second), 0.0))
        if first != second and scale:
            yield first, second, covariance / scale


def _slopes(ratio: str, average: str, counts: Mapping[str, ClassCounts]) -> dict[Cell, float]:
    """Return the derivatives of an average by the count of each cell."""
    cells = {label: (c.true_positive, c.false_positive, c.false_negative) for label, c in counts.items()}
    slopes: dict[Cell, float] = {}
    if average == "micro":
        whole = _derivatives(ratio, *(sum(each) for each in zip(*cells.values(), strict=True))) if cells else ()
        return {(field, label): slope for label in cells for field, slope in zip(_FIELDS, whole, strict=True)}
    supports = {label: each.support for label, each in counts.items()}
    all_supports = sum(supports.values())
    if not all_supports:
        return {}
    own = {label: _value(ratio, *each) for label, each in cells.items()}
    mean = math.fsum(supports[label] * value for label, value in own.items()) / all_supports
    for label, each in cells.items():
        for field, slope in zip(_FIELDS, _derivatives(ratio, *each), strict=True):
            if average == "macro":
                slopes[field, label] = slope / len(cells)
            else:
                grows = field != "false_positive"
                slopes[field, label] = (supports[label] * slope + grows * (own[label] - mean)) / all_supports
    return slopes


def _value(ratio: str, tp: int, fp: int, fn: int) -> float:
    hit, wrong, missed = _COEFFICIENTS[ratio]
    whole = hit * tp + wrong * fp + missed * fn
    return hit * tp / whole if whole else 0.0


def _derivatives(ratio: str, tp: int, fp: int, fn: int) -> tuple[float, float, float]:
    """Return the derivatives by TP, FP and FN; 0 where the ratio is 0/0, which counts as 0 in an average."""
    hit, wrong, missed = _COEFFICIENTS[ratio]
    whole = hit * tp + wrong * fp + missed * fn
    if not whole:
        return 0.0, 0.0, 0.0
    square = whole * whole
    return hit * (wrong * fp + missed * fn) / square, -hit * wrong * tp / square, -hit * missed * tp / square


def average_of(metric: Metric, answers: Answers) -> tuple[float, float] | None:
    """Return an average over labels and its variance; None where :func:`variance_of_average` is None."""
    variance = variance_of_average(metric, answers)
    if variance is None:
        return None
    value: Any = metric.compute({key: answers[need] for key, need in metric.needs.items()})
    return (value, variance) if isinstance(value, float) else None
