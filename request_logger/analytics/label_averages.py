"""Variances of micro, macro and weighted averages over labels, for documents with several labels.

The labels of one document are not independent, so the variance also needs how often each two are hit together. These
co-occurrences are counts, with which the delta method is exact in its sums: per document, sum over its cells (a label's
true positive, false positive or false negative) the average's derivative by that cell's count; the average's variance
is n times the variance of this sum over the documents.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from request_logger.analytics.queries import Answers, QueryRunner
from request_logger.analytics.rollups import Statistic
from request_logger.analytics.scope import Query, Scope
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
