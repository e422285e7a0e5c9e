"""What probabilities are scored by: log loss, the bins of AUC and of calibration, and the metrics made of them."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from scorers.base import Bucket, Metric, SumBy, Value, Values, ratio

EPSILON = sys.float_info.epsilon
# Sums of rounded or half-precision probabilities miss 1 by less than this; a list that misses it by more is no
# distribution.
SUM_TOLERANCE = 0.02
SCORE_BINS = 100
SCORE_LOGIT_LIMIT = 12.0
CALIBRATION_BINS = 15


def log_loss(truth_probability: float) -> float:
    """Return -ln p of the true class, p clipped to [eps, 1 - eps] as scikit-learn's ``log_loss`` does, in nats."""
    return -math.log(min(max(truth_probability, EPSILON), 1.0 - EPSILON))


def softmax(logits: Sequence[float]) -> list[float]:
    """Return exp(x) / sum exp(x), the greatest taken off first so that nothing overflows."""
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
    """Return which of 100 equal bins of ln(p / (1 - p)) over [-12, 12] holds p, the ends taking what is beyond.

    On the logit scale the bins are fine where the scores of rare events crowd; equal widths of p would put most of
    them into one bin and lose the AUC.
    """
    if probability <= 0.0:
        return 0
    if probability >= 1.0:
        return SCORE_BINS - 1
    logit = math.log(probability / (1.0 - probability))
    position = int((logit + SCORE_LOGIT_LIMIT) * (SCORE_BINS / (2.0 * SCORE_LOGIT_LIMIT)))
    return 0 if position < 0 else min(position, SCORE_BINS - 1)


def calibration_bin(probability: float) -> int:
    """Return which of 15 bins of equal width [k/15, (k+1)/15) holds p; 1.0 is in the last."""
    return min(int(probability * CALIBRATION_BINS), CALIBRATION_BINS - 1)


def _auc(values: Values) -> tuple[float, float] | None:
    """Return the AUC and its greatest possible error, from the counts of positives and negatives in each score bin."""
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
    """Declare ``auc`` and ``auc_bound``: the true area is within ``auc`` plus or minus ``auc_bound``.

    AUC = (sum over bins of negatives x (positives above + positives in the bin / 2)) / (P N). Only pairs within one
    bin are undecided, and each is off by at most a half: the bound is (sum of positives x negatives / 2) / (P N).
    """
    needs = {"bins": SumBy(("truth_positive",), "score_bin")}
    return (
        Metric("auc", needs, lambda v: area[0] if (area := _auc(v)) else None),
        Metric("auc_bound", needs, lambda v: area[1] if (area := _auc(v)) else None, False, (0.0, 0.5)),
    )


def calibration_metric(happened: str, predicted: str) -> Metric:
    """Declare ``ece``, the expected calibration error (Guo et al. 2017) over 15 bins.

    ECE = sum over bins of abs(sum of ``happened`` - sum of ``predicted``), divided by the number of documents.
    """
    needs = {"bins": SumBy((happened, predicted), "calibration_bin")}
    return Metric("ece", needs, lambda v: _calibration_error(v, happened, predicted), False)
