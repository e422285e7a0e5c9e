"""Metrics with intervals and baselines, from the sums that an engine would give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics
from sklearn.dummy import DummyClassifier, DummyRegressor

from request_logger.analytics.estimates import Estimate, estimates, statistics_of
from request_logger.analytics.intervals import NoInterval
from request_logger.scoring.registry import build
from scorers.base import Scorer
from scorers.classification import MATRIX
from tests.analytics.sums import answers_of, loss_limits, mean_limits

RNG = np.random.default_rng(5)
N = 800


def estimate(scorer: Scorer, truths: Any, predictions: Any) -> dict[str, Estimate]:
    answers = answers_of(scorer, truths, predictions)
    return {found.name: found for found in estimates(scorer.metrics, answers)}


def limits(found: Estimate) -> tuple[float, float]:
    assert found.interval is not None
    return found.interval.low, found.interval.high


def wilson(hits: int, n: int) -> Any:
    found = stats.binomtest(int(hits), int(n)).proportion_ci(method="wilson")
    return pytest.approx((found.low, found.high), abs=1e-12)


def test_binary() -> None:
    scores = RNG.beta(1, 2, N)
    truths = (RNG.random(N) < scores).astype(int)
    found = estimate(build("binary", {"probabilities": True}), truths, scores)
    (tn, fp), (fn, tp) = metrics.confusion_matrix(truths, scores >= 0.5)
    assert limits(found["accuracy"]) == wilson(tp + tn, N)
    assert limits(found["precision"]) == wilson(tp, tp + fp)
    assert (found["accuracy"].n, found["precision"].n, found["recall"].n) == (N, tp + fp, tp + fn)
    assert limits(found["recall"]) == wilson(tp, tp + fn)
    assert limits(found["specificity"]) == wilson(tn, tn + fp)
    jaccard = stats.binomtest(int(tp), int(tp + fp + fn)).proportion_ci(method="wilson")
    assert limits(found["f1"]) == pytest.approx([2 * j / (1 + j) for j in jaccard], abs=1e-12)
    dummy = DummyClassifier(strategy="prior").fit(truths[:, None], truths)
    constant = dummy.predict_proba(truths[:, None])
    assert found["log_loss"].baseline == pytest.approx(metrics.log_loss(truths, constant), abs=1e-9)
    assert found["brier"].baseline == pytest.approx(metrics.brier_score_loss(truths, constant[:, 1]), abs=1e-9)
    assert found["accuracy"].baseline == pytest.approx(dummy.score(truths[:, None], truths), abs=1e-12)
    losses = -np.log(np.where(truths, scores, 1 - scores))
    assert limits(found["log_loss"]) == pytest.approx(loss_limits(losses), rel=1e-9)
    low, high = limits(found["auc"])
    assert low < metrics.roc_auc_score(truths, scores) < high
    assert found["auc"].baseline == 0.5


def test_multiclass() -> None:
    rows = RNG.dirichlet((2, 1, 1), N)
    truths = np.array([RNG.choice(3, p=row) for row in rows])
    found = estimate(build("multiclass", {}), truths, rows)
    said = rows.argmax(axis=1)
    dummy = DummyClassifier(strategy="prior").fit(rows, truths)
    assert found["log_loss"].baseline == pytest.approx(metrics.log_loss(truths, dummy.predict_proba(rows)), abs=1e-9)
    assert found["brier"].baseline == pytest.approx(
        metrics.brier_score_loss(truths, dummy.predict_proba(rows), scale_by_half=False), abs=1e-9
    )
    constant = dummy.predict(rows)
    for name, score in (
        ("accuracy", metrics.accuracy_score),
        ("balanced_accuracy", metrics.balanced_accuracy_score),
        ("mcc", metrics.matthews_corrcoef),
        ("kappa", metrics.cohen_kappa_score),
    ):
        assert found[name].baseline == pytest.approx(score(truths, constant), abs=1e-12), name
    # A bootstrap of the documents themselves gives the interval that drawing the matrix gives.
    draws = RNG.integers(0, N, (300, N))
    for name, of in (
        ("f1_macro", lambda t, p: metrics.f1_score(t, p, average="macro")),
        ("mcc", metrics.matthews_corrcoef),
    ):
        expected = np.quantile([of(truths[k], said[k]) for k in draws], [0.025, 0.975])
        assert limits(found[name]) == pytest.approx(expected.tolist(), abs=0.02), name
    assert limits(found["accuracy"]) == wilson((truths == said).sum(), N)


def test_regression() -> None:
    truths = RNG.normal(50, 10, N)
    said = truths + RNG.normal(1, 3, N)
    found = estimate(build("regression", {}), truths, said)
    dummy = DummyRegressor().fit(truths[:, None], truths).predict(truths[:, None])
    assert found["rmse"].baseline == pytest.approx(metrics.root_mean_squared_error(truths, dummy), rel=1e-9)
    assert found["r2"].baseline == 0.0
    squares = (said - truths) ** 2
    assert limits(found["mse"]) == pytest.approx(loss_limits(squares), rel=1e-9)
    assert limits(found["rmse"]) == pytest.approx(np.sqrt(loss_limits(squares)).tolist(), rel=1e-9)
    assert limits(found["mean_error"]) == pytest.approx(mean_limits(said - truths), rel=1e-9)
    assert found["r2"].interval is None
    assert found["mae"].n == N


def test_labels_of_one_document_are_not_independent() -> None:
    """Without how often labels are together, an average over them has no interval; see test_label_averages.py."""
    truths, said = RNG.integers(0, 2, (2, N, 4))
    found = estimate(build("multilabel", {"indicator": True}), truths, said)
    assert found["f1_macro"].interval is None
    assert limits(found["subset_accuracy"]) == wilson((truths == said).all(axis=1).sum(), N)
    assert found["subset_accuracy"].baseline is None


@pytest.mark.parametrize("scorer", ["binary", "multiclass"])
@pytest.mark.parametrize("n", [1, 3, 20, 60])
def test_no_interval_is_a_point(scorer: str, n: int) -> None:
    """Of a model that is always right, or is wrong about one class alone: no figure looks certain."""
    classes = np.arange(n) % (2 if scorer == "binary" else 3)
    for wrong in (classes, np.where(classes == 1, 0, classes), np.zeros(n, int)):
        for found in estimate(build(scorer, {}), classes, wrong).values():
            assert found.interval is None or found.interval.low < found.interval.high, found.name


@pytest.mark.parametrize("positives", [0, 1, 9, 10])
def test_log_loss_of_a_rare_class(positives: int) -> None:
    """Without its documents, whose losses are large, the mean is that of the others, which hardly varies."""
    truths = np.arange(100) < positives
    scorer = build("binary", {"probabilities": True})
    found = estimate(scorer, truths.astype(int), RNG.uniform(0.2, 0.3, 100))
    has_interval = positives >= 10
    assert found["log_loss"].why is (None if has_interval else NoInterval.RARE_CLASS)
    assert found["brier"].interval is not None
    (metric,) = (each for each in scorer.metrics if each.name == "log_loss")
    assert MATRIX["matrix"] in statistics_of([metric])


def test_the_rarest_kind_of_a_matrix() -> None:
    """The hits or misses of one class: without a miss, folds don't show how its recall varies, nor then the metric."""
    truths = np.repeat([0, 1], [80, 20])
    scorer = build("multiclass", {})
    for wrong, least in ((0, 0), (3, 3), (18, 2)):
        said = truths.copy()
        said[:10] = 1
        said[80 : 80 + wrong] = 0
        found = estimate(scorer, truths, said)["kappa"].interval
        assert found is not None
        assert found.least == least
