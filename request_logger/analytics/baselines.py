"""What the best constant prediction would have had: the values that a metric must exceed to be worth anything."""

from __future__ import annotations

import math

from request_logger.analytics.queries import Answers
from scorers.base import Count, Sum, SumBy
from scorers.classification import MATRIX
from scorers.regression import spread_of


def baselines(answers: Answers) -> dict[str, float]:
    """Return the metric values of the best constant prediction: the majority class, the mean, or the class shares.

    accuracy: the share of the most frequent class. log_loss: the entropy of the class shares (nats). brier: 1 - sum of
    the squared shares (half of it for the binary scorer, which counts one class). mse, rmse: the variance of the truths
    and its root. r2: 0. auc: 1/2. balanced_accuracy: 1 / number of classes.
    """
    return {**_constant_class(answers), **_constant_number(answers)}


def _constant_class(answers: Answers) -> dict[str, float]:
    matrix: dict[str, dict[str, int]] = answers.get(MATRIX["matrix"]) or {}
    supports = [sum(row.values()) for row in matrix.values()]
    n = sum(supports)
    if not n or not is_single_label(answers, n):
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
    spread = spread_of(answers[Sum("truth_squared")], answers[Sum("truth_centered")], n)
    if spread is None:
        return {}
    return {"mse": spread / n, "rmse": math.sqrt(spread / n), "r2": 0.0}


def is_single_label(answers: Answers, total: int) -> bool:
    """Return whether each of ``total`` documents of the confusion matrix has one class."""
    correct = answers.get(Count("correct"))
    return correct is None or correct == total
