"""Metrics with their intervals and baselines, from the search engine's sums.

The needs of a metric determine its interval: Wilson's for a share or a mean of 0 and 1, Student's for other means, a
bootstrap of the confusion matrix for what is computed from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from request_logger.analytics.intervals import (
    LEVEL,
    Interval,
    delong,
    f1_interval,
    mean_interval,
    mean_of,
    normal_interval,
    wilson,
)
from request_logger.analytics.label_averages import average_of
from request_logger.analytics.queries import Answers
from request_logger.analytics.rollups import Moments, Statistic
from scorers.base import AtMost, Bucket, Count, Having, Metric, Sum, SumBy
from scorers.classification import CELLS, MATRIX

# Resamples of a bootstrap: 25 are beyond each end of a 95 % interval. The seed is fixed, so that a repeated report
# gives the same intervals.
DRAWS = 1000
_SEED = 20_260_102
# Bootstrap limits: larger matrices would make a report too slow, and below 200 resamples the 2.5 % quantile rests on
# fewer than five values. _MOST_DRAWN_CELLS bounds cells times resamples.
_MOST_CELLS = 400
_MOST_DRAWN_CELLS = 30_000
_LEAST_DRAWS = 200
_MATRIX_NEED = MATRIX["matrix"]
_COUNTED = {"precision", "recall", "specificity", "f1"}
_BINARY_CELLS = {"true_positive", "false_positive", "false_negative", "true_negative"}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's value over some documents.

    ``n`` is the sample size where that is one number. ``baseline`` is the value of the best constant prediction.
    """

    name: str
    value: float
    n: int | None
    interval: Interval | None
    baseline: float | None
    higher_is_better: bool | None
    bounds: tuple[float, float]


def statistics_of(metrics: Iterable[Metric]) -> list[Statistic]:
    """Return the statistics that `estimates` needs for some metrics."""
    statistics: dict[Statistic, None] = {}
    for metric in metrics:
        statistics.update(dict.fromkeys(metric.needs.values()))
        field = mean_field(metric)
        if field is not None:
            statistics[Moments(field)] = None
        if not metric.per_class and set(metric.needs.values()) <= set(CELLS.values()):
            statistics[_MATRIX_NEED] = None
    return list(statistics)


def mean_field(metric: Metric) -> str | None:
    """Return the field whose mean (or root of the mean) a metric is, None for any other metric."""
    kinds = {key: type(need) for key, need in metric.needs.items()}
    if kinds != {"sum": Sum, "n": Count}:
        return None
    total, count = metric.needs["sum"], metric.needs["n"]
    assert isinstance(total, Sum) and isinstance(count, Count)
    return total.field if total.field == count.field else None


def estimates(metrics: Sequence[Metric], answers: Answers, *, draws: int = DRAWS) -> list[Estimate]:
    """Return the metrics that are numbers and defined, in order; ``answers`` are the values of `statistics_of`."""
    values = {metric.name: value for metric in metrics if (value := value_of(metric, answers)) is not None}
    defined = [metric for metric in metrics if metric.name in values]
    drawn = {name: percentile_interval(each) for name, each in bootstrap_matrix(defined, answers, draws).items()}
    known = baselines(answers)
    found = []
    for metric in metrics:
        value = values.get(metric.name)
        if value is None:
            continue
        interval = drawn.get(metric.name) or interval_of(metric, answers)
        size = size_of(metric, answers)
        baseline = known.get(metric.name)
        found.append(Estimate(metric.name, value, size, interval, baseline, metric.higher_is_better, metric.bounds))
    return found


def value_of(metric: Metric, answers: Answers) -> float | None:
    """Return the value of a metric; None where it is undefined or a table."""
    value = metric.compute({key: answers[need] for key, need in metric.needs.items()})
    return float(value) if isinstance(value, (int, float)) else None


def size_of(metric: Metric, answers: Answers) -> int | None:
    """Return the sample size of a mean or a share; None for a metric with several sample sizes."""
    if metric.name in _COUNTED and set(metric.needs) == _BINARY_CELLS:
        return binary_trials(metric.name, answers)[1]
    if mean_field(metric) is None and not any(isinstance(need, (AtMost, Having)) for need in metric.needs.values()):
        return None
    return next(int(answers[need]) for need in metric.needs.values() if isinstance(need, Count))


def interval_of(metric: Metric, answers: Answers, level: float = LEVEL) -> Interval | None:
    """Return the interval of a metric, None where sums alone give no sound one."""
    field = mean_field(metric)
    if field is not None:
        return _of_mean(metric, answers, field, level)
    needs = metric.needs
    if {key: type(need) for key, need in needs.items()} in ({"hits": AtMost, "n": Count}, {"hits": Having, "n": Count}):
        return wilson(answers[needs["hits"]], answers[needs["n"]], level)
    if metric.name in _COUNTED and set(needs) == _BINARY_CELLS:
        hits, trials = binary_trials(metric.name, answers)
        if metric.name == "f1":
            return f1_interval(hits, trials - hits, level)
        return wilson(hits, trials, level)
    if metric.name == "auc":
        area = auc_of(metric, answers)
        return _of_share(*area, "DeLong on bins", level) if area else None
    average = average_of(metric, answers)
    return _of_share(*average, "delta method", level) if average else None


def _of_share(value: float, variance: float, method: str, level: float) -> Interval:
    found = normal_interval(value, variance, method, level)
    return Interval(max(found.low, 0.0), min(found.high, 1.0), found.method)


def auc_of(metric: Metric, answers: Answers) -> tuple[float, float] | None:
    """Return the AUC over the score bins and its variance (DeLong); None with fewer than two of a class."""
    bins: dict[int, Bucket] = answers[metric.needs["bins"]]
    positives = {key: bucket.sums["truth_positive"] for key, bucket in bins.items()}
    return delong(positives, {key: bins[key].count - hits for key, hits in positives.items()})


def is_proportion(metric: Metric, answers: Answers) -> bool:
    """Return whether a metric is the mean of a field that has only the values 0 and 1 in these documents."""
    field = mean_field(metric)
    spread = answers.get(Moments(field)) if field else None
    # In [0, 1] only 0 and 1 equal their squares.
    return spread is not None and spread.low >= 0.0 and spread.high <= 1.0 and spread.total == spread.squares


def _of_mean(metric: Metric, answers: Answers, field: str, level: float) -> Interval | None:
    spread = answers[Moments(field)]
    value = value_of(metric, answers)
    if value is None:
        return None
    plain = spread.total / spread.n
    if math.isclose(value, plain, rel_tol=1e-12) and is_proportion(metric, answers):
        return wilson(spread.total, spread.n, level)
    mean = mean_of(spread)
    if mean is None:
        return None
    found = mean_interval(mean, level)
    low, high = max(found.low, metric.bounds[0]), min(found.high, metric.bounds[1])
    if math.isclose(value, plain, rel_tol=1e-12):
        return Interval(low, high, found.method)
    if math.isclose(value * value, plain, rel_tol=1e-12):
        # The root is monotone, so it maps the interval of the mean square to that of the root.
        return Interval(math.sqrt(max(low, 0.0)), math.sqrt(high), found.method)
    return None


def binary_trials(name: str, answers: Answers) -> tuple[int, int]:
    """Return (successes, trials) of precision, recall or specificity; for F1 those of the Jaccard index."""
    tp, fp, fn, tn = (
        answers.get(Count(cell), 0) for cell in ("true_positive", "false_positive", "false_negative", "true_negative")
    )
    return {
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "f1": (tp, tp + fp + fn),
    }[name]


def bootstrap_matrix(
    metrics: Sequence[Metric], answers: Answers, draws: int = DRAWS, seed: int = 0
) -> dict[str, list[float]]:
    """Return bootstrap values of the metrics of the confusion matrix, by name, over resampled matrices.

    Empty without a matrix, for multilabel documents and for a matrix of more than _MOST_CELLS cells. A large matrix
    gets fewer resamples.
    """
    matrix: dict[str, dict[str, int]] = answers.get(_MATRIX_NEED) or {}
    cells = [
        (truth, predicted, count) for truth, row in sorted(matrix.items()) for predicted, count in sorted(row.items())
    ]
    total = sum(count for *_, count in cells)
    chosen = [metric for metric in metrics if _is_of_matrix(metric)]
    # A multilabel document is in several cells, so documents can't be resampled from the cells.
    if not chosen or not draws or total < 2 or len(cells) > _MOST_CELLS or not _is_single_label(answers, total):
        return {}
    draws = min(draws, max(_LEAST_DRAWS, _MOST_DRAWN_CELLS // len(cells)))
    generator = np.random.default_rng((_SEED, seed))
    shares = np.array([count for *_, count in cells]) / total
    values: dict[str, list[float]] = {metric.name: [] for metric in chosen}
    for counts in generator.multinomial(total, shares, size=draws).tolist():
        drawn = _answers_of(
            [(truth, predicted, n) for (truth, predicted, _), n in zip(cells, counts, strict=True) if n]
        )
        for metric in chosen:
            value = value_of(metric, drawn)
            if value is not None:
                values[metric.name].append(value)
    return {name: each for name, each in values.items() if len(each) >= draws // 2}


def bootstrap_counts(metric: Metric, answers: Answers, draws: int = DRAWS, seed: int = 0) -> list[float]:
    """Return bootstrap values of a metric of the four binary counts, over resampled counts.

    Empty for any other metric and for fewer than two documents.
    """
    if set(metric.needs) != _BINARY_CELLS:
        return []
    counts = np.array([answers[need] for need in metric.needs.values()], dtype=float)
    if counts.sum() < 2:
        return []
    generator = np.random.default_rng((_SEED, seed))
    drawn = generator.multinomial(int(counts.sum()), counts / counts.sum(), size=draws).tolist()
    values = [metric.compute(dict(zip(metric.needs, each, strict=True))) for each in drawn]
    known = [float(value) for value in values if isinstance(value, (int, float))]
    return known if len(known) >= draws // 2 else []


def percentile_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Return the percentile interval of bootstrap values."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Interval(low, high, "bootstrap")


def _is_of_matrix(metric: Metric) -> bool:
    needs = set(metric.needs.values())
    return needs == {_MATRIX_NEED} or needs == set(CELLS.values())


def _is_single_label(answers: Answers, total: int) -> bool:
    correct = answers.get(Count("correct"))
    return correct is None or correct == total


def _answers_of(cells: Iterable[tuple[str, str, int]]) -> Answers:
    """Return the values of MATRIX and CELLS for these cells of a confusion matrix."""
    matrix: dict[str, dict[str, int]] = {}
    hits: dict[str, int] = {}
    wrong: dict[str, int] = {}
    missed: dict[str, int] = {}
    n = 0
    for truth, predicted, count in cells:
        matrix.setdefault(truth, {})[predicted] = count
        n += count
        if truth == predicted:
            hits[truth] = count
        else:
            wrong[predicted] = wrong.get(predicted, 0) + count
            missed[truth] = missed.get(truth, 0) + count
    return {_MATRIX_NEED: matrix, CELLS["tp"]: hits, CELLS["fp"]: wrong, CELLS["fn"]: missed, CELLS["n"]: n}


def baselines(answers: Answers) -> dict[str, float]:
    """Return the metric values of the best constant prediction: the majority class, the mean, or the class shares.

    accuracy: the share of the most frequent class. log_loss: the entropy of the class shares (nats). brier: 1 - sum of
    the squared shares (half of it for the binary scorer, which counts one class). mse, rmse: the variance of the truths
    and its root. r2: 0. auc: 1/2. balanced_accuracy: 1 / number of classes.
    """
    return {**_constant_class(answers), **_constant_number(answers)}


def _constant_class(answers: Answers) -> dict[str, float]:
    matrix: dict[str, dict[str, int]] = answers.get(_MATRIX_NEED) or {}
    supports = [sum(row.values()) for row in matrix.values()]
    n = sum(supports)
    if not n or not _is_single_label(answers, n):
        return {}
    found = {"accuracy": max(supports) / n, "mcc": 0.0, "kappa": 0.0, "quadratic_weighted_kappa": 0.0}
    found["balanced_accuracy"] = 1 / len(supports)
    shares = [support / n for support in supports]
    # Documents without probabilities are in the matrix too, and would distort these two baselines.
    if answers.get(Count("log_loss")) == n:
        found["log_loss"] = -math.fsum(share * math.log(share) for share in shares)
    if answers.get(Count("brier")) == n:
        is_binary = any(isinstance(need, SumBy) and need.by == "score_bin" for need in answers)
        found["brier"] = (1 - math.fsum(share**2 for share in shares)) / (2 if is_binary else 1)
    if any(isinstance(need, SumBy) and need.by == "score_bin" and bins for need, bins in answers.items()):
        found["auc"] = 0.5
    return found


def _constant_number(answers: Answers) -> dict[str, float]:
    n = answers.get(Count("truth_squared"), 0)
    if not n or answers.get(Count("squared_error")) != n or Sum("truth_centered") not in answers:
        return {}
    variance = max(answers[Sum("truth_squared")] - answers[Sum("truth_centered")] ** 2 / n, 0.0) / n
    return {"mse": variance, "rmse": math.sqrt(variance), "r2": 0.0}


def intervals_by_class(table: dict[str, dict[str, Any]]) -> dict[str, dict[str, Interval]]:
    """Return the intervals of precision, recall and F1 per class, from the table ``per_class``."""
    found: dict[str, dict[str, Interval]] = {}
    for label, row in table.items():
        tp, fp, fn = (int(row[cell]) for cell in ("true_positive", "false_positive", "false_negative"))
        each = {"precision": wilson(tp, tp + fp), "recall": wilson(tp, tp + fn), "f1": f1_interval(tp, fp + fn)}
        found[label] = {name: interval for name, interval in each.items() if interval is not None}
    return found
