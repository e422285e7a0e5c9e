"""Scoring of probabilities: log loss, the bins for AUC and calibration, and the metrics computed from them."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from scorers.base import Bucket, Metric, SumBy, Value, Values, ratio

EPSILON = sys.float_info.epsilon
# Sums of rounded or half-precision probabilities differ from 1 by less than this, and values from [0, 1]; a list that
# differs by more isn't a distribution.
SUM_TOLERANCE = 0.02
SCORE_BINS = 100
SCORE_LOGIT_LIMIT = 12.0
CALIBRATION_BINS = 15


def log_loss(truth_probability: float) -> float:
    """Return -ln p of the true class in nats, with p clipped to [eps, 1 - eps] as in scikit-learn's ``log_loss``."""
    return -math.log(min(max(truth_probability, EPSILON), 1.0 - EPSILON))


def is_nearly_within(low: float, high: float) -> bool:
    """Return whether all values between two may be probabilities: within [0, 1], but for rounding."""
    return low >= -SUM_TOLERANCE and high <= 1.0 + SUM_TOLERANCE


def clipped(value: float) -> float:
    """Return the nearest probability to a value."""
    return min(max(value, 0.0), 1.0)


def softmax(logits: Sequence[float]) -> list[float]:
    """Return exp(x) / sum exp(x); the greatest value is subtracted first, so that nothing overflows."""
    highest = max(logits)
    powers = [math.exp(value - highest) for value in logits]
    total = math.fsum(powers)
    return [power / total for power in powers]


def sigmoid(logit: float) -> float:
    """Return 1 / (1 + exp(-x)) without overflow."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    power = math.exp(logit)
    return power / (1.0 + power)


def score_bin(probability: float) -> int:
    """Return the bin of p among 100 equal bins of ln(p / (1 - p)) over [-12, 12]; the outer bins are unbounded.

    On the logit scale the bins are narrow where the scores of rare events are dense; with bins of equal width in p,
    most scores would be in one bin, and the AUC would be lost.
    """
    if probability <= 0.0:
        return 0
    if probability >= 1.0:
        return SCORE_BINS - 1
    logit = math.log(probability / (1.0 - probability))
    position = int((logit + SCORE_LOGIT_LIMIT) * (SCORE_BINS / (2.0 * SCORE_LOGIT_LIMIT)))
    return 0 if position < 0 else min(position, SCORE_BINS - 1)


def calibration_bin(probability: float) -> int:
    """Return the bin of p among 15 bins of equal width, [k/15, (k+1)/15); 1.0 is in the last one."""
    return min(int(probability * CALIBRATION_BINS), CALIBRATION_BINS - 1)


def _auc(values: Values) -> tuple[float, float] | None:
    """Return the AUC and its greatest possible error, from the numbers of positives and negatives per score bin."""
    buckets: dict[int, Bucket] = values["bins"]
    positives_above = ordered = tied = positives = negatives = 0.0
    for key in sorted(buckets, reverse=True):
        positive = buckets[key].sums["truth_positive"]
        negative = buckets[key].count - positive
        ordered += negative * positives_above
        tied += negative * positive
        positives_above += positive
        positives += positive
        negatives += negative
    pairs = positives * negatives
    return ((ordered + tied / 2) / pairs, tied / 2 / pairs) if pairs else None


def _calibration_error(values: Values, happened: str, predicted: str) -> Value:
    buckets: dict[int, Bucket] = values["bins"]
    gaps = math.fsum(abs(bucket.sums[happened] - bucket.sums[predicted]) for bucket in buckets.values())
    return ratio(gaps, sum(bucket.count for bucket in buckets.values()))


def auc_metrics() -> tuple[Metric, Metric]:
    """Return the metrics ``auc`` and ``auc_bound``: the exact area is within ``auc`` plus or minus ``auc_bound``.

    AUC = (sum over bins of negatives x (positives above + positives in the bin / 2)) / (P N). Only the order of pairs
    within a bin is unknown, with an error of at most 1/2 each: the bound is (sum of positives x negatives / 2) / (P N).
    """
    needs = {"bins": SumBy(("truth_positive",), "score_bin")}
    return (
        Metric("auc", needs, lambda v: area[0] if (area := _auc(v)) else None),
        Metric("auc_bound", needs, lambda v: area[1] if (area := _auc(v)) else None, False, (0.0, 0.5)),
    )


def calibration_metric(happened: str, predicted: str) -> Metric:
    """Return the metric ``ece``, the expected calibration error (Guo et al. 2017) over 15 bins.

    ECE = sum over bins of abs(sum of ``happened`` - sum of ``predicted``), divided by the number of documents.
    """
    needs = {"bins": SumBy((happened, predicted), "calibration_bin")}
    return Metric("ece", needs, lambda v: _calibration_error(v, happened, predicted), False)
