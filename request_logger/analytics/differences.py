"""The difference of each metric between two independent groups of documents, from sums alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from request_logger.analytics.auc_contrast import auc_contrast
from request_logger.analytics.contrasts import Contrast, NoTest
from request_logger.analytics.estimates import binary_trials, is_counted_share, is_proportion, mean_field, value_of
from request_logger.analytics.label_averages import average_of
from request_logger.analytics.mean_contrast import means_contrast
from request_logger.analytics.permutations import DEALINGS, is_of_table, permutation_contrasts
from request_logger.analytics.proportions import shares_contrast
from request_logger.analytics.queries import Answers
from request_logger.analytics.rollups import Moments
from scorers.base import Metric

_TOO_LARGE = NoTest("the values are so large that the squares of their variances can't be computed")
_BINARY_SHARES = ("precision", "recall", "specificity")
# Figures of the data or of the method rather than of the model: no model is better by them.
NO_QUESTION = ("baseline_accuracy", "auc_bound")
# Metrics that ask the same question of documents with one class each: the same number (f1_micro), or one that rises and
# falls with it (rmse). The first that both groups have is tested for all of them.
_SAME_QUESTION = (
    ("accuracy", "precision_micro", "recall_micro", "f1_micro", "recall_weighted", "specificity_micro",
     "top_1_accuracy"),
    ("balanced_accuracy", "recall_macro"),
    ("mse", "rmse"),
)  # fmt: skip


def contrasts(
    metrics: Sequence[Metric], a: Answers, b: Answers, *, dealings: int = DEALINGS
) -> dict[str, Contrast | NoTest]:
    """Return b minus a for the metrics that sums are enough to compare, by name.

    Shares use the score test or Fisher's, means Welch's t-test, roots of a mean the same by the delta method, the AUC
    DeLong's variance, averages over labels the delta method, other metrics of the confusion matrix a permutation test
    of ``dealings``.
    """
    found: dict[str, Contrast | NoTest] = {}
    dealt = []
    for metric in metrics:
        if metric.per_class or metric.name in NO_QUESTION or None in (value_of(metric, a), value_of(metric, b)):
            continue
        try:
            contrast = _contrast(metric, a, b)
        except OverflowError:
            contrast = _TOO_LARGE
        if contrast is not None:
            found[metric.name] = contrast
        elif is_of_table(metric):
            dealt.append(metric)
    return found | permutation_contrasts(dealt, a, b, dealings)


def _contrast(metric: Metric, a: Answers, b: Answers) -> Contrast | NoTest | None:
    shares = proportions(metric, a, b)
    if shares is not None:
        (hits_a, n_a), (hits_b, n_b) = shares
        return shares_contrast(hits_a, n_a, hits_b, n_b)
    field = mean_field(metric)
    if field is not None:
        power = _power(metric, Moments(field), a, b)
        return means_contrast(a[Moments(field)], b[Moments(field)], root=power == 2) if power else None
    if metric.name == "auc":
        bins = metric.needs["bins"]
        return auc_contrast(a[bins], b[bins])
    return _of_labels(metric, a, b)


def _power(metric: Metric, moments: Moments, a: Answers, b: Answers) -> int:
    """Return 1 for a mean, 2 for the root of a mean, 0 for anything else."""
    for power in (1, 2):
        values = [(value_of(metric, answers), answers[moments]) for answers in (a, b)]
        if all(
            value is not None and math.isclose(value**power, sums.total / sums.n, rel_tol=1e-12, abs_tol=1e-300)
            for value, sums in values
        ):
            return power
    return 0


def proportions(metric: Metric, a: Answers, b: Answers) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return hits and trials of both groups where the metric is a proportion in both, else None."""
    field = mean_field(metric)
    if field is not None and is_proportion(metric, a) and is_proportion(metric, b):
        one, two = a[Moments(field)], b[Moments(field)]
        return (one.total, one.n), (two.total, two.n)
    if is_counted_share(metric):
        hits, n = metric.needs["hits"], metric.needs["n"]
        return (a[hits], a[n]), (b[hits], b[n])
    if metric.name in _BINARY_SHARES and "true_negative" in metric.needs:
        return binary_trials(metric.name, a), binary_trials(metric.name, b)
    return None


def is_mean(metric: Metric, a: Answers, b: Answers) -> bool:
    """Return whether the metric is a mean over documents in both groups, so that it can be tested on pairs."""
    field = mean_field(metric)
    return field is not None and _power(metric, Moments(field), a, b) == 1


def _of_labels(metric: Metric, a: Answers, b: Answers) -> Contrast | NoTest | None:
    averages = average_of(metric, a), average_of(metric, b)
    if averages[0] is None or averages[1] is None:
        return None
    sizes = int(a[metric.needs["n"]]), int(b[metric.needs["n"]])
    error = math.sqrt(averages[0][1] + averages[1][1])
    variances = averages[0][1] * sizes[0], averages[1][1] * sizes[1]
    return Contrast(averages[1][0] - averages[0][0], error, sizes, variances, "delta method")


def same_questions(names: Sequence[str], deciding: str) -> Mapping[str, str]:
    """Return the metrics that aren't tested on their own, each with the one that is tested for it.

    It is the deciding metric where that is among them, else the first.
    """
    found = {}
    for group in _SAME_QUESTION:
        # Without the first the others ask different questions: documents with several labels have no accuracy.
        if group[0] in names:
            tested = deciding if deciding in group else group[0]
            found.update({name: tested for name in group if name in names and name != tested})
    return found
