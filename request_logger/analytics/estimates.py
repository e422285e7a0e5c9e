"""Metrics with their intervals and baselines, from the search engine's sums.

The needs of a metric determine its interval: Wilson's for a share, Student's for other means, the combined intervals
of the classes for a mean over them, draws of the confusion matrix for what else is computed from it, and the spread
between the folds for the rest. docs/intervals.md says which, and when not to believe it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from request_logger.analytics.baselines import baselines, is_single_label
from request_logger.analytics.calibration import calibration_interval, expected_by_chance
from request_logger.analytics.class_averages import (
    MACRO,
    WEIGHTED,
    corrected_interval,
    drawn_interval,
    macro_interval,
    specificity_interval,
    weighted_interval,
)
from request_logger.analytics.intervals import Found, Interval, NoInterval
from request_logger.analytics.jackknife import Folds, design_effect, jackknife_interval
from request_logger.analytics.label_averages import interval_of_average
from request_logger.analytics.matrix_answers import inputs_of
from request_logger.analytics.means import are_zeros_and_ones, mean_interval, share_or_mean, unseen
from request_logger.analytics.queries import Answers
from request_logger.analytics.rollups import Moments, MomentSums, Statistic
from request_logger.analytics.shares import INDEPENDENT, Dependence, auc_interval, f1_interval, share_interval
from scorers.base import AtMost, Bucket, Count, Having, Metric, Sum, Values, ratio
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
_OF_FOLDS = (NoInterval.NO_METHOD, NoInterval.MANY_CELLS)
_COUNTED = {"precision", "recall", "specificity", "f1"}
# The bound of another metric's error, and a sum that grows with the documents.
_NO_ESTIMATES = {"auc_bound", "reward_sum"}
# The field of a loss that documents of a rare class decide: each costs as much as all that were expected. With fewer of
# them (simulated: with none) its mean is that of the frequent class, which hardly varies.
_LOSS_OF_CLASSES = "log_loss"
_LEAST_RARE = 10
# The field whose large values decide a metric that is not its mean.
_ERRORS_OF = {"r2": "squared_error"}
# Each document has one class, and so its one miss is also one false alarm.
_SAME_AS_ACCURACY = {"recall_weighted", "precision_micro", "recall_micro", "f1_micro"}
# Accuracies that are corrected for chance.
_CORRECTED = {"mcc", "kappa"}
_NOT_DRAWN = {*_SAME_AS_ACCURACY, *MACRO, "specificity_micro", "baseline_accuracy", "confusion_matrix"}
_ACCURACY = Metric("accuracy of draws", CELLS, lambda v: ratio(sum(v["tp"].values()), v["n"]))
_BINARY_CELLS = {"true_positive", "false_positive", "false_negative", "true_negative"}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's value over some documents.

    ``n`` is the sample size where that is one number. ``baseline`` is the value of the best constant prediction.
    ``why`` is the reason for a missing interval. ``together`` says how far documents belong together, where they do.
    ``by_chance`` is the value that chance alone would have given, where that is not 0.
    """

    name: str
    value: float
    n: int | None
    interval: Interval | None
    baseline: float | None
    higher_is_better: bool | None
    bounds: tuple[float, float]
    why: NoInterval | None = None
    together: Dependence | None = None
    by_chance: float | None = None


def statistics_of(metrics: Iterable[Metric]) -> list[Statistic]:
    """Return the statistics that `estimates` needs for some metrics."""
    statistics: dict[Statistic, None] = {}
    for metric in metrics:
        statistics.update(dict.fromkeys(metric.needs.values()))
        field = mean_field(metric) or _ERRORS_OF.get(metric.name)
        if field is not None:
            statistics[Moments(field)] = None
        if field == _LOSS_OF_CLASSES:
            statistics[_MATRIX_NEED] = None
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


def estimates(
    metrics: Sequence[Metric],
    answers: Answers,
    *,
    draws: int = DRAWS,
    together: Mapping[str, Dependence | NoInterval] | None = None,
) -> list[Estimate]:
    """Return the metrics that are numbers and defined, in order; ``answers`` are the values of `statistics_of`.

    Documents are independent, unless ``together`` (by metric) says how far they belong together, or that nobody knows.
    """
    known = baselines(answers)
    of_draws = [] if together else [*filter(_is_drawn, metrics)]
    drawn = bootstrap_matrix([*of_draws, _ACCURACY], answers, draws) if of_draws else {}
    found = []
    for metric in metrics:
        value = value_of(metric, answers)
        if value is None:
            continue
        own = (together or {}).get(metric.name, INDEPENDENT)
        interval = own if isinstance(own, NoInterval) else interval_of(metric, answers, own, draws, drawn)
        estimate = Estimate(
            metric.name,
            value,
            size_of(metric, answers),
            None,
            known.get(metric.name),
            metric.higher_is_better,
            metric.bounds,
            together=own if isinstance(own, Dependence) and own is not INDEPENDENT else None,
            by_chance=expected_by_chance(metric, answers),
        )
        found.append(_with(estimate, interval))
    return found


def needs_folds(found: Iterable[Estimate]) -> bool:
    """Return whether an interval is missing that the folds of the documents may give."""
    return any(each.why in _OF_FOLDS for each in found)


def with_folds(
    found: Iterable[Estimate], metrics: Sequence[Metric], answers: Answers, folds: Folds, draws: int = DRAWS
) -> list[Estimate]:
    """Return estimates with the intervals that the folds of the documents give.

    These are the intervals of metrics without any other method and, where documents belong together, of all metrics.
    """
    named = {metric.name: metric for metric in metrics}
    return [_with_folds(each, named[each.name], answers, folds, draws) for each in found]


def _with_folds(found: Estimate, metric: Metric, answers: Answers, folds: Folds, draws: int) -> Estimate:
    if found.why in _OF_FOLDS:
        spreads = _spreads(metric, answers)
        if any(mean_interval(spread, (0.0, math.inf)) is NoInterval.LARGE_VALUES for spread in spreads):
            return _with(found, NoInterval.LARGE_VALUES)
        values = [value_of(metric, some) for some in folds.without]
        more = max(map(unseen, spreads), default=(0.0, 0.0))
        return _with(found, jackknife_interval(found.value, values, folds, metric.bounds, more))
    if not folds.are_together or found.interval is None:
        return found
    if folds.problem is not None:
        return _with(found, folds.problem)
    values = [value_of(metric, some) for some in folds.without]
    own = Dependence(design_effect(values, found.interval, folds), folds.freedom)
    return _with(replace(found, together=own), interval_of(metric, answers, own, draws))


def _spreads(metric: Metric, answers: Answers) -> list[MomentSums]:
    """Return the moments of the fields whose sums a metric is computed from, where they are known."""
    sums = (need.field for need in metric.needs.values() if isinstance(need, Sum))
    return [answers[Moments(field)] for field in sums if Moments(field) in answers]


def _with(found: Estimate, interval: Found) -> Estimate:
    if isinstance(interval, Interval) and interval.low >= interval.high:
        # A single point would say that the figure is certain.
        interval = NoInterval.ALL_EQUAL
    if isinstance(interval, Interval):
        return replace(found, interval=interval, why=None)
    return replace(found, interval=None, why=interval)


def value_of(metric: Metric, answers: Answers) -> float | None:
    """Return the value of a metric; None where it is undefined, a table, or beyond the range of doubles."""
    return _value_from(metric, {key: answers[need] for key, need in metric.needs.items()})


def _value_from(metric: Metric, values: Values) -> float | None:
    try:
        value = metric.compute(values)
        known = float(value) if isinstance(value, (int, float)) else None
    except OverflowError:
        return None
    return known if known is not None and math.isfinite(known) else None


def size_of(metric: Metric, answers: Answers) -> int | None:
    """Return the sample size of a mean or a share; None for a metric with several sample sizes."""
    if metric.name in _COUNTED and set(metric.needs) == _BINARY_CELLS:
        return binary_trials(metric.name, answers)[1]
    if mean_field(metric) is None and not any(isinstance(need, (AtMost, Having)) for need in metric.needs.values()):
        return None
    return next(int(answers[need]) for need in metric.needs.values() if isinstance(need, Count))


def is_counted_share(metric: Metric) -> bool:
    """Return whether a metric is the share of the documents that a filter counts."""
    kinds = {key: type(need) for key, need in metric.needs.items()}
    return kinds in ({"hits": AtMost, "n": Count}, {"hits": Having, "n": Count})


def interval_of(
    metric: Metric,
    answers: Answers,
    together: Dependence = INDEPENDENT,
    draws: int = DRAWS,
    drawn: Mapping[str, list[float]] | None = None,
) -> Found:
    """Return the interval of a metric that is defined, or why sums alone give no sound one.

    ``drawn`` are values of `bootstrap_matrix` for independent documents, where they are known already.
    """
    if metric.name in _NO_ESTIMATES:
        return NoInterval.NO_ESTIMATE
    field = mean_field(metric)
    if field is not None:
        return _of_mean(metric, answers, field, together)
    needs = metric.needs
    found: Found | None = None
    if is_counted_share(metric):
        found = share_interval(answers[needs["hits"]], answers[needs["n"]], together)
    elif metric.name in _COUNTED and set(needs) == _BINARY_CELLS:
        hits, trials = binary_trials(metric.name, answers)
        is_f1 = metric.name == "f1"
        found = f1_interval(hits, trials - hits, together) if is_f1 else share_interval(hits, trials, together)
    elif metric.name == "auc":
        return _of_area(metric, answers, together)
    elif metric.name == "ece":
        found = calibration_interval(metric, answers, together)
    elif _is_of_matrix(metric):
        found = _of_matrix(metric, answers, together, draws, drawn or {})
    return found or interval_of_average(metric, answers, together) or NoInterval.NO_METHOD


def _of_area(metric: Metric, answers: Answers, together: Dependence) -> Found:
    bins: dict[int, Bucket] = answers[metric.needs["bins"]]
    positives = math.fsum(bucket.sums["truth_positive"] for bucket in bins.values())
    negatives = sum(bucket.count for bucket in bins.values()) - positives
    area = value_of(metric, answers)
    if area is None or min(positives, negatives) < 2:
        return NoInterval.ONE_CLASS
    tied = math.fsum(
        bucket.sums["truth_positive"] * (bucket.count - bucket.sums["truth_positive"]) for bucket in bins.values()
    )
    return auc_interval(area, positives, negatives, tied / 2 / (positives * negatives), together)


def _of_matrix(
    metric: Metric, answers: Answers, together: Dependence, draws: int, drawn: Mapping[str, list[float]]
) -> Found | None:
    """Return the interval of a metric of the confusion matrix; None for documents with several labels."""
    matrix: dict[str, dict[str, int]] = answers.get(_MATRIX_NEED) or {}
    supports = [sum(row.values()) for row in matrix.values()]
    n, value = sum(supports), value_of(metric, answers)
    if not n or value is None or not is_single_label(answers, n):
        return None
    hits = sum(row.get(truth, 0) for truth, row in matrix.items())
    if metric.name in _SAME_AS_ACCURACY and math.isclose(value, hits / n, rel_tol=1e-12):
        return share_interval(hits, n, together)
    if metric.name == "baseline_accuracy" and math.isclose(value, max(supports) / n, rel_tol=1e-12):
        return share_interval(max(supports), n, together)
    linear = macro_interval(metric.name, value, matrix, together)
    if metric.name == "specificity_micro":
        linear = specificity_interval(value, matrix, together)
    if linear is not None:
        return linear
    if together.effect != 1.0 or metric.name not in drawn:
        drawn = bootstrap_matrix([metric, _ACCURACY], answers, draws, effect=together.effect)
    values, accuracies = drawn.get(metric.name, []), drawn.get(_ACCURACY.name, [])
    if metric.name in WEIGHTED:
        return weighted_interval(value, matrix, values, accuracies, together)
    # Of a class without a miss (or a hit), the folds don't show how its share varies between them.
    right = {truth: row.get(truth, 0) for truth, row in matrix.items()}
    least = min(min(right[truth], support - right[truth]) for truth, support in zip(matrix, supports, strict=True))
    others = n - max(supports)
    if metric.name in _CORRECTED:
        return corrected_interval(value, hits, n, others, values, accuracies, together, least)
    return drawn_interval(value, metric.bounds, others, values, together, least)


def is_proportion(metric: Metric, answers: Answers) -> bool:
    """Return whether a metric is the mean of a field that has only the values 0 and 1 in these documents."""
    field = mean_field(metric)
    spread = answers.get(Moments(field)) if field else None
    return spread is not None and are_zeros_and_ones(spread)


def _of_mean(metric: Metric, answers: Answers, field: str, together: Dependence) -> Found:
    spread = answers[Moments(field)]
    value = value_of(metric, answers)
    if value is None or not spread.n:
        return NoInterval.NO_METHOD
    others = _others(answers) if field == _LOSS_OF_CLASSES else None
    if others is not None and others / together.effect < _LEAST_RARE:
        return NoInterval.RARE_CLASS
    plain = spread.total / spread.n
    if math.isclose(value, plain, rel_tol=1e-12):
        return share_or_mean(spread, metric.bounds, together)
    if math.isclose(value * value, plain, rel_tol=1e-12):
        found = share_or_mean(spread, metric.bounds, together)
        if isinstance(found, NoInterval):
            return found
        # The root is monotone, so it maps the interval of the mean square to that of the root.
        error = None if found.error is None else found.error / (2 * value)
        return Interval(math.sqrt(found.low), math.sqrt(found.high), found.method, error)
    return NoInterval.NO_METHOD


def _others(answers: Answers) -> int | None:
    """Return the number of documents that are not of the most frequent class; None where their classes are unknown."""
    matrix: dict[str, dict[str, int]] = answers.get(_MATRIX_NEED) or {}
    supports = [sum(row.values()) for row in matrix.values()]
    return sum(supports) - max(supports) if supports and is_single_label(answers, sum(supports)) else None


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
    metrics: Sequence[Metric], answers: Answers, draws: int = DRAWS, seed: int = 0, effect: float = 1.0
) -> dict[str, list[float]]:
    """Return values of the metrics of the confusion matrix, by name, over matrices drawn around the observed one.

    The shares of a drawn matrix are from the Dirichlet distribution with the observed counts (divided by the design
    ``effect``) plus 1 / K^2, where K classes have K^2 cells: a cell without documents may have some in others. Empty
    without a matrix, for multilabel documents and for a matrix of more than _MOST_CELLS cells. A large matrix gets
    fewer draws, and its empty cells stay empty.
    """
    matrix: dict[str, dict[str, int]] = answers.get(_MATRIX_NEED) or {}
    cells = [
        (truth, predicted, count) for truth, row in sorted(matrix.items()) for predicted, count in sorted(row.items())
    ]
    total = sum(count for *_, count in cells)
    chosen = [metric for metric in metrics if _is_of_matrix(metric)]
    # A multilabel document is in several cells, so documents can't be resampled from the cells.
    if not chosen or not draws or total < 2 or len(cells) > _MOST_CELLS or not is_single_label(answers, total):
        return {}
    labels = sorted({*matrix, *(label for row in matrix.values() for label in row)})
    if len(labels) ** 2 <= _MOST_CELLS:
        cells = [(truth, said, matrix.get(truth, {}).get(said, 0)) for truth in labels for said in labels]
    draws = min(draws, max(_LEAST_DRAWS, _MOST_DRAWN_CELLS // len(cells)))
    generator = np.random.default_rng((_SEED, seed))
    weights = np.array([count for *_, count in cells]) / effect + len(labels) ** -2
    gammas = generator.standard_gamma(weights, size=(draws, len(cells)))
    shares = gammas / gammas.sum(axis=1, keepdims=True)
    values: dict[str, list[float]] = {metric.name: [] for metric in chosen}
    for counts in (shares * total).tolist():
        drawn = inputs_of((truth, predicted, n) for (truth, predicted, _), n in zip(cells, counts, strict=True) if n)
        for metric in chosen:
            value = _value_from(metric, drawn.of(metric))
            if value is not None:
                values[metric.name].append(value)
    return {name: each for name, each in values.items() if len(each) >= draws // 2}


def _is_drawn(metric: Metric) -> bool:
    """Return whether a metric of the confusion matrix has no interval but that of draws."""
    return _is_of_matrix(metric) and not metric.per_class and metric.name not in _NOT_DRAWN


def _is_of_matrix(metric: Metric) -> bool:
    needs = set(metric.needs.values())
    return needs == {_MATRIX_NEED} or needs == set(CELLS.values())
