"""The difference of a metric between two independent groups of documents, from sums alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from request_logger.analytics.estimates import (
    auc_of,
    binary_trials,
    bootstrap_counts,
    bootstrap_matrix,
    is_proportion,
    mean_field,
    percentile_interval,
    value_of,
)
from request_logger.analytics.intervals import Difference, Mean, mean_of, newcombe, normal_interval, welch
from request_logger.analytics.label_averages import average_of
from request_logger.analytics.queries import Answers
from request_logger.analytics.rollups import Moments
from scorers.base import AtMost, Count, Having, Metric

_BINARY_SHARES = ("precision", "recall", "specificity")


def difference(metric: Metric, a: Answers, b: Answers) -> Difference | None:
    """Return b minus a with interval and p-value for two independent groups; None where sums are not enough.

    Shares use Newcombe's interval and the chi-squared test, means Welch's t-test, roots of a mean the same by the delta
    method, the AUC DeLong's variance, averages over labels the delta method, other metrics of the confusion matrix a
    bootstrap of both groups.
    """
    shares = proportions(metric, a, b)
    if shares is not None:
        (hits_a, n_a), (hits_b, n_b) = shares
        return newcombe(hits_a, n_a, hits_b, n_b)
    means = plain_means(metric, a, b)
    if means is not None:
        return welch(*means)
    roots = _roots(metric, a, b)
    if roots is not None:
        found = welch(*roots)
        interval = replace(found.interval, method="Welch t, delta method")
        return replace(found, interval=interval)
    if metric.name == "auc":
        return _normal(auc_of(metric, a), auc_of(metric, b), "DeLong on bins", "DeLong")
    averages = average_of(metric, a), average_of(metric, b)
    return _normal(*averages, "delta method", "normal") or _drawn(metric, a, b)


def proportions(metric: Metric, a: Answers, b: Answers) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return hits and trials of both groups where the metric is a proportion in both, else None."""
    field = mean_field(metric)
    kinds = {key: type(need) for key, need in metric.needs.items()}
    if field is not None and is_proportion(metric, a) and is_proportion(metric, b):
        one, two = a[Moments(field)], b[Moments(field)]
        return (one.total, one.n), (two.total, two.n)
    if kinds in ({"hits": AtMost, "n": Count}, {"hits": Having, "n": Count}):
        hits, n = metric.needs["hits"], metric.needs["n"]
        return (a[hits], a[n]), (b[hits], b[n])
    if metric.name in _BINARY_SHARES and "true_negative" in metric.needs:
        return binary_trials(metric.name, a), binary_trials(metric.name, b)
    return None


def plain_means(metric: Metric, a: Answers, b: Answers) -> tuple[Mean, Mean] | None:
    """Return mean and variance of both groups where the metric is a mean (not the root of one), else None."""
    return _means(metric, a, b, power=1)


def _roots(metric: Metric, a: Answers, b: Answers) -> tuple[Mean, Mean] | None:
    """Return both groups' roots of a mean with their variances by the delta method; None for any other metric.

    Var(sqrt(m)) is Var(m) / (4 m).
    """
    squares = _means(metric, a, b, power=2)
    if squares is None or not all(each.mean > 0.0 for each in squares):
        return None
    first, second = (Mean(each.n, math.sqrt(each.mean), each.variance / (4 * each.mean)) for each in squares)
    return first, second


def _means(metric: Metric, a: Answers, b: Answers, *, power: int) -> tuple[Mean, Mean] | None:
    """Return mean and variance of the metric's field in both groups, if ``metric ** power`` is that mean, else None."""
    field = mean_field(metric)
    if field is None or Moments(field) not in a or Moments(field) not in b:
        return None
    one, two = a[Moments(field)], b[Moments(field)]
    first, second = mean_of(one), mean_of(two)
    if first is None or second is None:
        return None
    for mean, answers in ((first, a), (second, b)):
        value = value_of(metric, answers)
        if value is None or not math.isclose(value**power, mean.mean, rel_tol=1e-12, abs_tol=1e-300):
            return None
    return first, second


def variance_of(metric: Metric, a: Answers, b: Answers) -> float | None:
    """Return the sum of both groups' per-document variances, for `needed_sample_size`; None where unknown."""
    shares = proportions(metric, a, b)
    if shares is not None:
        return sum((hits / n) * (1 - hits / n) if n else 0.0 for hits, n in shares)
    means = plain_means(metric, a, b) or _roots(metric, a, b)
    if means:
        return sum(mean.variance for mean in means)
    averages = [(average_of(metric, answers), answers) for answers in (a, b)]
    known = [average[1] * answers[metric.needs["n"]] for average, answers in averages if average]
    return sum(known) if len(known) == len(averages) else None


def _normal(a: tuple[float, float] | None, b: tuple[float, float] | None, method: str, test: str) -> Difference | None:
    """Return the difference of two normal estimates, each (value, variance)."""
    if a is None or b is None:
        return None
    value, variance = b[0] - a[0], a[1] + b[1]
    p_value = math.erfc(abs(value) / math.sqrt(2 * variance)) if variance else float(value == 0.0)
    return Difference(value, normal_interval(value, variance, method), p_value, test)


def _drawn(metric: Metric, a: Answers, b: Answers) -> Difference | None:
    values = value_of(metric, a), value_of(metric, b)
    drawn: list[Sequence[float]] = [
        bootstrap_counts(metric, answers, seed=seed)
        or bootstrap_matrix([metric], answers, seed=seed).get(metric.name, [])
        for seed, answers in enumerate((a, b))
    ]
    count = min(map(len, drawn))
    if values[0] is None or values[1] is None or not count:
        return None
    differences = np.subtract(drawn[1][:count], drawn[0][:count])
    # One is added to the count, since a finite number of resamples never shows a probability of 0.
    tail = min((differences <= 0).sum(), (differences >= 0).sum()) + 1
    p_value = min(1.0, 2.0 * float(tail) / (count + 1))
    return Difference(values[1] - values[0], percentile_interval(differences.tolist()), p_value, "bootstrap")
