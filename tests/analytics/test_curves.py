"""Reliability and ROC curves from bins, against scikit-learn's curves of the same pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from request_logger.analytics.curves import reliability, roc
from request_logger.analytics.shares import share_interval
from request_logger.scoring.registry import build
from scorers.base import Bucket, SumBy
from scorers.probabilities import CALIBRATION_BINS, score_bin
from tests.analytics.sums import answers_of

SCORER = build("binary", {"probabilities": True})
METRICS = SCORER.metrics


def pairs(n: int = 400) -> tuple[Any, Any]:
    generator = np.random.default_rng(31)
    said = generator.beta(1, 2, n)
    return (generator.random(n) < said**1.5).astype(int), said


def test_reliability() -> None:
    """Per bin of equal width, counts, means and intervals are those of the pairs in it."""
    truths, said = pairs()
    curve = reliability(METRICS, answers_of(SCORER, truths, said))
    bins = np.floor(said * CALIBRATION_BINS).astype(int)
    assert [point["from"] for point in curve] == pytest.approx(np.unique(bins) / CALIBRATION_BINS)
    for key, point in zip(np.unique(bins), curve, strict=True):
        inside = bins == key
        interval = share_interval(int(truths[inside].sum()), int(inside.sum()))
        assert interval is not None
        assert point == pytest.approx(
            {
                "from": key / CALIBRATION_BINS,
                "to": (key + 1) / CALIBRATION_BINS,
                "n": inside.sum(),
                "said": said[inside].mean(),
                "happened": truths[inside].mean(),
                "low": interval.low,
                "high": interval.high,
            },
            abs=1e-12,
        )


def test_roc() -> None:
    """The points are those of scikit-learn's curve of the binned scores, from (0, 0) to (1, 1)."""
    truths, said = pairs()
    curve = roc(METRICS, answers_of(SCORER, truths, said))
    false_alarms, hits, _ = roc_curve(truths, [score_bin(p) for p in said], drop_intermediate=False)
    assert [point["false_positive_rate"] for point in curve] == pytest.approx(false_alarms, abs=1e-12)
    assert [point["true_positive_rate"] for point in curve] == pytest.approx(hits, abs=1e-12)


@pytest.mark.parametrize("truth", [0, 1])
def test_roc_of_one_class(truth: int) -> None:
    """Undefined, so there is no curve."""
    _, said = pairs(20)
    assert roc(METRICS, answers_of(SCORER, np.full(20, truth), said)) == []


def test_scorers_without_probabilities() -> None:
    """There are no curves without bins; and none of other bins is taken for them."""
    others = build("regression", {}).metrics
    assert (reliability(others, {}), roc(others, {})) == ([], [])
    need = SumBy(("truth_positive",), "another_bin")
    metric = next(metric for metric in METRICS if metric.name == "auc")
    other = type(metric)("other", {"bins": need}, metric.compute)
    assert roc((other,), {need: {1: Bucket(2, {"truth_positive": 1.0})}}) == []
