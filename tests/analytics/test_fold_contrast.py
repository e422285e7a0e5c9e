"""The test over folds against scikit-learn without each fold in turn, and what it gains where requests are shared."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from request_logger.analytics.contrasts import Contrast, Form, NoTest, outcome
from request_logger.analytics.fold_contrast import FoldSums, folds_contrast
from request_logger.documents.folds import FOLDS
from request_logger.scoring.registry import build
from scorers.evaluations import metrics_of
from tests.analytics.sums import answers_of
from tests.analytics.test_differences import contrast, metric_of

N = 600
RNG = np.random.default_rng(31)
PLACES = RNG.integers(0, FOLDS, N)
TRUTHS = (RNG.random(N) < 0.4).astype(int)
# Scores in the middle of a bin, so that the AUC of the bins is that of the scores. Both models have most in common.
SHARED = RNG.normal(TRUTHS * 1.5, 1, N)
SCORES = [
    1 / (1 + np.exp(-((np.floor((SHARED + RNG.normal(0, spread, N) + 12) * 100 / 24) + 0.5) * 24 / 100 - 12)))
    for spread in (0.3, 0.6)
]
SCORER = build("binary", {"probabilities": True})


def sums_of(scores: Any, chosen: Any = slice(None)) -> Any:
    return answers_of(SCORER, TRUTHS[chosen], scores[chosen])


def folds_of(scores: Any, places: Any = PLACES) -> FoldSums:
    parts = [places == k for k in range(FOLDS)]
    return FoldSums(tuple(sums_of(scores, p) for p in parts), tuple(int(p.sum()) for p in parts), len(places))


def labels(scores: Any) -> Any:
    return (scores >= 0.5).astype(int)


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("f1", lambda t, s: metrics.f1_score(t, labels(s))),
        ("mcc", lambda t, s: metrics.matthews_corrcoef(t, labels(s))),
        ("auc", metrics.roc_auc_score),
    ],
)
def test_the_jackknife_over_folds(name: str, of: Callable[[Any, Any], float]) -> None:
    """Difference, error, interval and p-value from scikit-learn's metric without each fold, to 1e-9."""
    metric = metric_of(SCORER, name)
    whole = [sums_of(scores) for scores in SCORES]
    found = folds_contrast(metric, folds_of(SCORES[0]), folds_of(SCORES[1]), whole)
    value = of(TRUTHS, SCORES[1]) - of(TRUTHS, SCORES[0])
    without = [
        of(TRUTHS[k != PLACES], SCORES[1][k != PLACES]) - of(TRUTHS[k != PLACES], SCORES[0][k != PLACES])
        for k in range(FOLDS)
    ]
    error = math.sqrt((FOLDS - 1) * np.var(without))
    assert isinstance(found, Contrast) and found.once is not None
    half = stats.t.isf(0.025, FOLDS - 1) * error
    assert found.value == pytest.approx(value, abs=1e-9)
    interval = found.once.interval
    assert (interval.low, interval.high) == pytest.approx((value - half, value + half), abs=1e-9)
    assert found.once.p_value == pytest.approx(2 * stats.t.sf(abs(value) / error, FOLDS - 1), rel=1e-6)
    # Far narrower than for groups that have nothing in common.
    assert error < 0.7 * contrast(metric, *whole).error


def test_daily_looks_allow_for_the_error_of_the_error() -> None:
    found = folds_contrast(metric_of(SCORER, "f1"), *map(folds_of, SCORES), [sums_of(scores) for scores in SCORES])
    assert isinstance(found, Contrast) and found.once is not None
    once = found.once.interval
    z = stats.norm.isf(0.025)
    assert found.error * z == pytest.approx((once.high - once.low) / 2, rel=1e-9)
    assert found.sizes == (N,)
    daily = outcome(found, Form.SEQUENTIAL)
    assert not isinstance(daily, NoTest) and daily.interval.high - daily.interval.low > once.high - once.low


def test_no_test_over_folds() -> None:
    """Documents without a fold, few folds, a metric that one fold decides, no difference at all."""
    metric = metric_of(SCORER, "f1")
    whole = [sums_of(scores) for scores in SCORES]
    a, b = map(folds_of, SCORES)
    lacking = FoldSums(a.answers, a.counts, a.documents + 1)
    for found in (folds_contrast(metric, lacking, b, whole), folds_contrast(metric, b, lacking, whole)):
        assert isinstance(found, NoTest) and "request-logger rescore" in found.reason
    few = [folds_of(scores, PLACES % 9) for scores in SCORES]
    assert isinstance(folds_contrast(metric, few[0], few[1], whole), NoTest)
    assert isinstance(folds_contrast(metric, a, a, [whole[0], whole[0]]), NoTest)
    positive = np.where(TRUTHS == 1, 0, PLACES)
    alone = [folds_of(scores, positive) for scores in SCORES]
    assert isinstance(folds_contrast(metric_of(SCORER, "auc"), alone[0], alone[1], whole), NoTest)


def test_an_empty_fold() -> None:
    """It is left out, and the degrees of freedom are fewer."""
    places = np.where(PLACES == 3, 4, PLACES)
    found = folds_contrast(
        metric_of(SCORER, "f1"), *(folds_of(s, places) for s in SCORES), [sums_of(s) for s in SCORES]
    )
    assert isinstance(found, Contrast) and found.once is not None
    ratio = stats.t.isf(0.025, FOLDS - 2) / stats.norm.isf(0.025)
    half = found.once.interval.high - found.value
    assert half == pytest.approx(found.error * stats.norm.isf(0.025), rel=1e-9)
    differences = [
        metrics.f1_score(TRUTHS[places != k], labels(SCORES[1])[places != k])
        - metrics.f1_score(TRUTHS[places != k], labels(SCORES[0])[places != k])
        for k in range(FOLDS)
        if k != 3
    ]
    assert found.error == pytest.approx(ratio * math.sqrt((FOLDS - 2) * np.var(differences)), rel=1e-9)


def test_a_share_of_a_label() -> None:
    """The share of an evaluation's label is counted by a filter: its folds are left out as others' are."""
    share = metrics_of("helpful", ("yes",))[-1]
    hits, n = share.needs["hits"], share.needs["n"]
    generator = np.random.default_rng(3)
    groups = [generator.integers(0, 21, FOLDS).tolist() for _ in range(2)]
    sums = [FoldSums(tuple({hits: k, n: 20} for k in yes), (20,) * FOLDS, 20 * FOLDS) for yes in groups]
    found = folds_contrast(share, *sums, [{hits: sum(yes), n: 20 * FOLDS} for yes in groups])
    assert isinstance(found, Contrast) and found.once is not None
    differences = np.subtract(groups[1], groups[0]) / 20
    without = (differences.sum() - differences) / (FOLDS - 1)
    error = math.sqrt((FOLDS - 1) / FOLDS * ((without - without.mean()) ** 2).sum())
    half = error * stats.t.ppf(0.975, FOLDS - 1)
    assert found.once.value == pytest.approx(differences.mean(), abs=1e-9)
    assert found.once.interval.high - found.once.value == pytest.approx(half, abs=1e-9)
