"""What the plots of a task show, as numbers: reliability, ROC, residuals."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from request_logger.analytics.buckets import by_ranges, quantile_edges
from request_logger.analytics.fields import Field
from request_logger.analytics.intervals import mean_interval, mean_of, wilson
from request_logger.analytics.queries import Answers, Asker
from request_logger.analytics.rollups import Moments
from request_logger.analytics.scope import Query, Scope
from scorers.base import Bucket, Metric, SumBy
from scorers.probabilities import CALIBRATION_BINS

RESIDUAL_BINS = 24
_PREDICTION_BINS = 10
Curve = list[dict[str, float]]


def reliability(metrics: tuple[Metric, ...], answers: Answers) -> Curve:
    """For each bin of probability: the mean of what was said, the share of what came true, with Wilson's interval."""
    need = _need(metrics, "calibration_bin")
    curve = []
    for key, bucket in sorted(_bins(need, answers).items()):
        assert need is not None
        happened, predicted = (bucket.sums[field] for field in need.fields)
        interval = wilson(happened, bucket.count)
        assert interval is not None
        curve.append(
            {
                "from": key / CALIBRATION_BINS,
                "to": (key + 1) / CALIBRATION_BINS,
                "n": bucket.count,
                "said": predicted / bucket.count,
                "happened": happened / bucket.count,
                "low": interval.low,
                "high": interval.high,
            }
        )
    return curve


def roc(metrics: tuple[Metric, ...], answers: Answers) -> Curve:
    """Return the ROC curve's points at the edges of the score bins, from (0, 0) to (1, 1).

    Between two points the true curve is somewhere in the rectangle that they span: that is the bound of the AUC.
    """
    bins = _bins(_need(metrics, "score_bin"), answers)
    positives = math.fsum(bucket.sums["truth_positive"] for bucket in bins.values())
    negatives = sum(bucket.count for bucket in bins.values()) - positives
    if not positives or not negatives:
        return []
    hits = false_alarms = 0.0
    curve = [{"false_positive_rate": 0.0, "true_positive_rate": 0.0}]
    for key in sorted(bins, reverse=True):
        hits += bins[key].sums["truth_positive"]
        false_alarms += bins[key].count - bins[key].sums["truth_positive"]
        curve.append({"false_positive_rate": false_alarms / negatives, "true_positive_rate": hits / positives})
    return curve


def residuals(asker: Asker, scope: Scope, only: Query, answers: Answers) -> Curve:
    """Count the errors (prediction minus truth) in ranges of equal width; the outermost take all that is beyond.

    The ranges reach four standard deviations to each side, or as far as there are errors.
    """
    spread = answers.get(Moments("error"))
    if spread is None or spread.n < 2 or spread.low == spread.high:
        return []
    mean = mean_of(spread)
    reach = 4 * math.sqrt(mean.variance) if mean else math.inf
    center = spread.total / spread.n
    low, high = max(spread.low, center - reach), min(spread.high, center + reach)
    edges = [low + (high - low) * k / RESIDUAL_BINS for k in range(RESIDUAL_BINS + 1)]
    inner: list[dict[str, float]] = [{"from": left, "to": right} for left, right in pairwise(edges[1:-1])]
    ranges = [{"to": edges[1]}, *inner, {"from": edges[-2]}]
    aggs = {"errors": {"range": {"field": "metrics.error", "ranges": ranges}}}
    buckets = asker.aggregate(scope, aggs, only).get("errors", {}).get("buckets", [])
    # An engine puts the ranges in order.
    return [
        {"from": left, "to": right, "n": bucket["doc_count"]}
        for (left, right), bucket in zip(pairwise(edges), buckets, strict=True)
    ]


def errors_by_prediction(asker: Asker, scope: Scope, only: Query) -> list[dict[str, Any]]:
    """Return the mean error in about ten equal shares of the predictions, from the lowest to the highest.

    A model that is right on average can still be wrong at each end.
    """
    field = Field("prediction", "metrics.prediction", is_number=True)
    edges = quantile_edges(asker, scope, field, _PREDICTION_BINS, only)
    asked = [Moments("error"), Moments("prediction")]
    found = []
    for part in by_ranges(asker, scope, asked, field, edges, only):
        error = mean_of(part.answers[asked[0]])
        if error is None:
            continue
        interval = mean_interval(error)
        prediction = part.answers[asked[1]]
        where = prediction.total / prediction.n if prediction.n else math.nan
        if math.isfinite(where):
            found.append(
                {
                    "predictions": part.label,
                    "n": part.count,
                    "mean_prediction": where,
                    "mean_error": error.mean,
                    "low": interval.low,
                    "high": interval.high,
                }
            )
    return found


def _need(metrics: tuple[Metric, ...], by: str) -> SumBy | None:
    needs = (need for metric in metrics for need in metric.needs.values())
    return next((need for need in needs if isinstance(need, SumBy) and need.by == by), None)


def _bins(need: SumBy | None, answers: Answers) -> dict[int, Bucket]:
    return answers.get(need, {}) if need is not None else {}
