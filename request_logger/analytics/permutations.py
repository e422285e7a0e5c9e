"""The difference of two groups in metrics of the confusion matrix: a permutation test.

If the two models are equal, their documents could as well be assigned at random to two groups of the same sizes. The
test does that many times, with the cells of both confusion matrices together, and counts how often the difference is as
large as the observed one. Unlike a bootstrap it is exact for few documents and rare classes. Two models may also have
the same F1 but different errors: where the two groups' own variances (by the jackknife over documents) make the
difference far more uncertain than dealing does, the dealt differences are widened by that ratio.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from request_logger.analytics.contrasts import ALPHA, Contrast, Difference, NoTest
from request_logger.analytics.intervals import Interval
from request_logger.analytics.matrix_answers import MetricInputs, matrix_answers
from request_logger.analytics.queries import Answers
from scorers.base import Count, Metric
from scorers.classification import CELLS, MATRIX

# A p-value has steps of 1 / (DEALINGS + 1), and its error at 0.05 is 0.007.
DEALINGS = 999
# Fixed, so that a repeated comparison gives the same p-value.
_SEED = 20_260_102
# Bounds on the work: cells of both matrices, and cells times dealings. Of fewer than 199 dealings, 5 % are not ten.
_MOST_CELLS = 400
_MOST_DEALT_CELLS = 30_000
_LEAST_DEALINGS = 199
# numpy's limit for dealing without replacement.
_MOST_DOCUMENTS = 10**9
_BINARY = ("true_positive", "false_positive", "false_negative", "true_negative")
# The groups' own variances are used if they are more than this many times that of dealing. Those of small groups vary
# by chance as much as that: at 2, equal models with 5 % positives differ in 1 % of comparisons instead of 5 %.
_OTHER_SPREAD = 4.0
# With so many documents of other classes than the most frequent one in the smaller group, they vary by chance as much
# again: at 0, equal models with 5 and 1 % of two rare classes differ in 1 % of comparisons of 100 with 1,000 documents.
_FEW_OTHERS = 8.0
# Documents of other true classes than the most frequent one, below which daily looks have to wait: the error of a
# metric that rests on one or two documents has no meaning.
_LEAST_OTHERS = 5
# Rounding errors between two equal differences.
_SAME = 1e-12
_FEW = NoTest("the metric is undefined in most groups of these sizes")
_MANY = NoTest(f"the two confusion matrices have more than {_MOST_CELLS} cells")
_NOT_SINGLE = NoTest("documents have several labels, or no confusion matrix is stored")
_EARLY = NoTest(f"one of the two has fewer than {_LEAST_OTHERS} documents of other classes than the most frequent one")
_UNIFORM = NoTest("assigning the documents to the groups at random never changes the metric")

Cell = tuple[str, ...]
Counts = Mapping[Cell, int]


@dataclass(frozen=True, slots=True)
class _Table:
    """The counts of both groups, by the cell of a table that some metrics are computed from."""

    metrics: tuple[Metric, ...]
    groups: tuple[Counts, Counts]


def is_of_table(metric: Metric) -> bool:
    """Return whether a metric is computed from the confusion matrix, or from the four binary counts."""
    return _kind(metric) is not None and not metric.per_class


def permutation_contrasts(
    metrics: Sequence[Metric], a: Answers, b: Answers, dealings: int = DEALINGS
) -> dict[str, Contrast | NoTest]:
    """Return the difference, b minus a, of each metric that `is_of_table`."""
    found: dict[str, Contrast | NoTest] = {}
    for kind in ("matrix", "binary"):
        chosen = tuple(metric for metric in metrics if is_of_table(metric) and _kind(metric) == kind)
        if not chosen:
            continue
        groups = _cells(kind, a), _cells(kind, b)
        problem = _problem(groups)
        if problem is not None:
            found.update(dict.fromkeys((metric.name for metric in chosen), problem))
        else:
            assert groups[0] is not None and groups[1] is not None
            found.update(_contrasts(_Table(chosen, (groups[0], groups[1])), dealings))
    return found


def _kind(metric: Metric) -> str | None:
    needs = set(metric.needs.values())
    if needs == {MATRIX["matrix"]} or needs == set(CELLS.values()):
        return "matrix"
    return "binary" if needs == {Count(cell) for cell in _BINARY} else None


def _cells(kind: str, answers: Answers) -> Counts | None:
    """Return the counts by cell; None for documents with several labels, which no single cell stands for."""
    if kind == "binary":
        return {(cell,): count for cell in _BINARY if (count := int(answers[Count(cell)]))}
    matrix: Mapping[str, Mapping[str, int]] = answers.get(MATRIX["matrix"]) or {}
    counts: dict[Cell, int] = {
        (truth, predicted): int(n) for truth, row in matrix.items() for predicted, n in row.items()
    }
    scored = answers.get(Count("correct"))
    return counts if counts and scored in (None, sum(counts.values())) else None


def _problem(groups: tuple[Counts | None, Counts | None]) -> NoTest | None:
    if not groups[0] or not groups[1]:
        return _NOT_SINGLE
    return _MANY if len(groups[0].keys() | groups[1].keys()) > _MOST_CELLS else None


def _contrasts(table: _Table, most: int) -> dict[str, Contrast | NoTest]:
    observed = [_values(table.metrics, group) for group in table.groups]
    dealt: dict[str, list[float]] = {metric.name: [] for metric in table.metrics}
    dealings = 0
    for groups, times in _dealings(table.groups, most):
        dealings += times
        values = [_values(table.metrics, group) for group in groups]
        for name, kept in dealt.items():
            if name in values[0] and name in values[1]:
                kept.extend([abs(values[1][name] - values[0][name])] * times)
    found: dict[str, Contrast | NoTest] = {}
    own = [_jackknife(table.metrics, group) for group in table.groups]
    sizes = sum(table.groups[0].values()), sum(table.groups[1].values())
    others = min(map(_others, table.groups))
    early = _EARLY if others < _LEAST_OTHERS else None
    most_spread = _OTHER_SPREAD * (1 + _FEW_OTHERS / max(others, 1))
    for name, distances in dealt.items():
        if name not in observed[0] or name not in observed[1] or len(distances) < dealings // 2:
            found[name] = _FEW
            continue
        spreads = own[0].get(name, 0.0), own[1].get(name, 0.0)
        contrast = _contrast(
            observed[1][name] - observed[0][name], np.sort(distances)[::-1], spreads, sizes, most_spread
        )
        found[name] = replace(contrast, early=early) if isinstance(contrast, Contrast) else contrast
    return found


def _others(group: Counts) -> int:
    """Return the number of documents whose true class is not the most frequent one."""
    supports: Counter[str] = Counter()
    for cell, count in group.items():
        is_positive = cell[0] in ("true_positive", "false_negative")
        supports[cell[0] if len(cell) > 1 else str(is_positive)] += count
    return supports.total() - max(supports.values())


def _contrast(
    value: float, dealt: Any, own: tuple[float, float], sizes: tuple[int, int], most_spread: float
) -> Contrast | NoTest:
    """Return the contrast from dealt distances (the largest first) and the variances of both groups' own values.

    These are used if they are over ``most_spread`` times that of dealing.
    """
    chance = math.sqrt(float(np.mean(dealt**2)))
    if not chance:
        return _UNIFORM
    error = math.sqrt(sum(own)) if sum(own) > most_spread * chance**2 else chance
    dealt = dealt * (error / chance)
    n = len(dealt)
    at_least = int((dealt >= abs(value) - _SAME).sum())
    p_value = (at_least + 1) / (n + 1)
    # Significant is a p-value below ALPHA: fewer than this many dealt distances are as large, so that the interval
    # excludes 0 exactly then.
    most = math.ceil(ALPHA * (n + 1) - _SAME) - 1
    half = float(dealt[most - 1]) + _SAME
    once = Difference(value, Interval(value - half, value + half, "permutation"), p_value, "permutation")
    variances = own[0] * sizes[0], own[1] * sizes[1]
    if not all(variances):
        # The variance of a group in which all documents are right isn't known: that of both together is used.
        variances = (error**2 / (1 / sizes[0] + 1 / sizes[1]),) * 2
    return Contrast(value, error, sizes, variances, "permutation", once=once)


def _dealings(groups: tuple[Counts, Counts], most: int) -> Iterator[tuple[tuple[Counts, Counts], int]]:
    """Yield two groups of the same sizes, dealt from the documents of both, and how often these were dealt."""
    cells = sorted(groups[0].keys() | groups[1].keys())
    both = np.array([groups[0].get(cell, 0) + groups[1].get(cell, 0) for cell in cells])
    dealings = min(most, max(_LEAST_DEALINGS, _MOST_DEALT_CELLS // len(cells)))
    generator = np.random.default_rng(_SEED)
    size = sum(groups[0].values())
    if both.sum() < _MOST_DOCUMENTS:
        first = generator.multivariate_hypergeometric(both, size, size=dealings, method="marginals")
        second = both - first
    else:
        # Of so many documents it makes no difference whether one may be dealt twice.
        shares = both / both.sum()
        first = generator.multinomial(size, shares, size=dealings)
        second = generator.multinomial(both.sum() - size, shares, size=dealings)
    # Rare classes leave few ways to deal.
    different, times = np.unique(np.stack([first, second], axis=1), axis=0, return_counts=True)
    for (one, other), count in zip(different.tolist(), times.tolist(), strict=True):
        yield (_of(cells, one), _of(cells, other)), count


def _of(cells: Sequence[Cell], counts: Sequence[int]) -> Counts:
    return {cell: count for cell, count in zip(cells, counts, strict=True) if count}


def _jackknife(metrics: Sequence[Metric], group: Counts) -> dict[str, float]:
    """Return the variance of each metric by the jackknife over documents; without those that are undefined somewhere.

    All documents of a cell are alike, so there is one value to compute for each cell.
    """
    n = sum(group.values())
    lacking = [_values(metrics, {**group, cell: count - 1}) for cell, count in group.items()]
    found = {}
    for metric in metrics:
        values = [each.get(metric.name) for each in lacking]
        if None in values or n < 2:
            continue
        weights = list(group.values())
        mean = math.fsum(w * v for w, v in zip(weights, values, strict=True) if v is not None) / n
        squares = math.fsum(w * (v - mean) ** 2 for w, v in zip(weights, values, strict=True) if v is not None)
        found[metric.name] = (n - 1) / n * squares
    return found


def _values(metrics: Sequence[Metric], group: Counts) -> dict[str, float]:
    inputs = MetricInputs(_answers(group))
    found = {}
    for metric in metrics:
        value = metric.compute(inputs.of(metric))
        if isinstance(value, (int, float)):
            found[metric.name] = float(value)
    return found


def _answers(group: Counts) -> Answers:
    """Return the values of the needs of a table's metrics for these counts."""
    cells = [(cell[0], cell[1], count) for cell, count in group.items() if len(cell) > 1 and count]
    return {Count(cell): group.get((cell,), 0) for cell in _BINARY} | matrix_answers(cells)
