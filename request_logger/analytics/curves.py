"""The data of a task's plots: reliability, ROC, residuals, error by prediction."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from request_logger.analytics.buckets import by_ranges, quantile_edges
from request_logger.analytics.fields import Field
from request_logger.analytics.intervals import mean_of
from request_logger.analytics.queries import Answers, QueryRunner
from request_logger.analytics.rollups import Moments
from request_logger.analytics.scope import Query, Scope
from request_logger.analytics.shares import INDEPENDENT, Dependence, share_interval
from scorers.base import Bucket, Metric, SumBy
from scorers.probabilities import CALIBRATION_BINS

# Three bars per standard deviation over the eight that the ranges cover.
RESIDUAL_BINS = 24
# Deciles.
_PREDICTION_BINS = 10
Curve = list[dict[str, float]]


def reliability(metrics: tuple[Metric, ...], answers: Answers, together: Dependence = INDEPENDENT) -> Curve:
    """Return per probability bin the mean prediction, the observed share and its interval."""
    need = _need(metrics, "calibration_bin")
    curve = []
    for key, bucket in sorted(_bins(need, answers).items()):
        assert need is not None
        happened, predicted = (bucket.sums[field] for field in need.fields)
        interval = share_interval(happened, bucket.count, together)
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
    """Return the ROC curve at the edges of the score bins, from (0, 0) to (1, 1); empty without both classes.

    Between two points the exact curve lies within the rectangle that they span, which bounds the error of the AUC.
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


def residuals(runner: QueryRunner, scope: Scope, only: Query, answers: Answers) -> Curve:
    """Return the histogram of errors (prediction minus truth) in RESIDUAL_BINS ranges of equal width.

    The ranges cover four standard deviations to each side, or all errors if these are narrower; the outermost ranges
    also count everything beyond.
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
    buckets = runner.aggregate(scope, aggs, only).get("errors", {}).get("buckets", [])
    # A range aggregation returns its buckets sorted by range.
    return [
        {"from": left, "to": right, "n": bucket["doc_count"]}
        for (left, right), bucket in zip(pairwise(edges), buckets, strict=True)
    ]


def errors_by_prediction(
    runner: QueryRunner, scope: Scope, only: Query, together: Dependence = INDEPENDENT
) -> list[dict[str, Any]]:
    """Return the mean error in about ten segments of equal size by prediction, from the lowest to the highest.

    It shows a model that is right on average but wrong at both ends.
    """
    field = Field("prediction", "metrics.prediction", is_number=True)
    edges = quantile_edges(runner, scope, field, _PREDICTION_BINS, only)
    statistics = [Moments("error"), Moments("prediction")]
    found = []
    for segment in by_ranges(runner, scope, statistics, field, edges, only):
        error = mean_of(segment.answers[statistics[0]])
        if error is None:
            continue
        half = together.quantile(error.n - 1) * math.sqrt(together.effect) * error.standard_error
        prediction = segment.answers[statistics[1]]
        where = prediction.total / prediction.n if prediction.n else math.nan
        if math.isfinite(where):
            found.append(
                {
                    "predictions": segment.label,
                    "n": segment.count,
                    "mean_prediction": where,
                    "mean_error": error.mean,
                    # Equal errors don't show how much errors vary.
                    **({"low": error.mean - half, "high": error.mean + half} if half else {}),
                }
            )
    return found


def _need(metrics: tuple[Metric, ...], by: str) -> SumBy | None:
    needs = (need for metric in metrics for need in metric.needs.values())
    return next((need for need in needs if isinstance(need, SumBy) and need.by == by), None)


def _bins(need: SumBy | None, answers: Answers) -> dict[int, Bucket]:
    return answers.get(need, {}) if need is not None else {}
