"""A report of documents that belong together, on a real engine: its intervals are those of the documents themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from request_logger.analytics.means import unseen
from request_logger.analytics.report import Options, make_report
from request_logger.analytics.rollups import MomentSums
from request_logger.documents.folds import fold_of
from request_logger.scoring.registry import build
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from tests.analytics.stored import document, engine_at, store
from tests.analytics.sums import loss_limits, mean_limits

pytestmark = pytest.mark.engine

ROWS, BATCHES = 10, 60
N = ROWS * BATCHES
RNG = np.random.default_rng(19)
BATCH = np.repeat(np.arange(BATCHES), ROWS)
TRUTHS = RNG.normal(50, 10, N)
ERRORS = RNG.normal(0, 2, BATCHES)[BATCH] + RNG.normal(0, 1, N)
FOLD = np.array([fold_of(f"batch-{batch}") for batch in BATCH])
FOLDS = np.unique(FOLD)
INDEX = "inference-log-seldon-test-folds-default"
Values = Any


@pytest.fixture(scope="module")
def engine_with(engine: Any) -> Iterator[SearchEngine]:
    """The engine with batches, and with single documents of which one has no fold."""
    client = engine_at(engine.url)
    scorer = build("regression", {})
    for name, is_batch in (("batches", True), ("singles", False)):
        made = []
        for k in range(N):
            found = document(scorer, float(TRUTHS[k]), float(TRUTHS[k] + ERRORS[k]), deployment=name)
            if is_batch:
                found["feedback"] |= {"item": k % ROWS, "items": ROWS}
            made.append({**found, "fold": int(FOLD[k])})
        store(client, INDEX, made, prefix=f"{name}-")
    old = [document(scorer, float(k), k + 2.0, deployment="old") for k in range(30)]
    store(client, INDEX, old, prefix="old-")
    yield client
    client.request("DELETE", f"/{INDEX}")


def metrics(engine: SearchEngine, deployment: str, fold_key: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """The report, and the metrics of its task by name."""
    report = make_report(engine, Settings(fold_key=fold_key), Options(target=deployment, by="predictor"))
    (task,) = report["tasks"]
    return report, {each["name"]: each for each in task["metrics"]}


def without_each(of: Any) -> Values:
    return np.array([of(fold != FOLD) for fold in FOLDS.tolist()])


def variance(values: Values) -> float:
    k = len(values)
    return float((k - 1) / k * ((values - values.mean()) ** 2).sum())


T = float(stats.t.ppf(0.975, len(FOLDS) - 1))


def test_r2_of_independent_documents(engine_with: SearchEngine) -> None:
    """From the folds; all other metrics keep their own method."""
    report, found = metrics(engine_with, "singles")
    half = T * math.sqrt(variance(np.log(1 - without_each(lambda c: r2_score(TRUTHS[c], (TRUTHS + ERRORS)[c])))))
    rest = 1 - r2_score(TRUTHS, TRUTHS + ERRORS)
    squares = ERRORS**2
    more_below, more_above = unseen(MomentSums(N, squares.sum(), (squares**2).sum(), squares.min(), squares.max()))
    ends = 1 - rest * math.exp(half * (1 + more_above)), 1 - rest * math.exp(-half * (1 + more_below))
    assert (found["r2"]["low"], found["r2"]["high"]) == pytest.approx(ends, rel=1e-9)
    assert (found["mean_error"]["low"], found["mean_error"]["high"]) == pytest.approx(mean_limits(ERRORS), rel=1e-9)
    assert "design_effect" not in found["mean_error"]
    assert report["notes"] == []


@pytest.mark.parametrize(("deployment", "key"), [("batches", ""), ("singles", "request.elements.customer")])
def test_documents_that_belong_together(engine_with: SearchEngine, deployment: str, key: str) -> None:
    """Rows of batches, or with FOLD_KEY any documents: the design effect is in every interval, also of a part."""
    report, found = metrics(engine_with, deployment, key)
    effect = variance(without_each(lambda chosen: ERRORS[chosen].mean())) / (ERRORS.var(ddof=1) / N)
    assert effect > 2
    assert found["mean_error"]["design_effect"] == pytest.approx(effect, rel=1e-9)
    limits = mean_limits(ERRORS, effect, len(FOLDS) - 1)
    assert (found["mean_error"]["low"], found["mean_error"]["high"]) == pytest.approx(limits, rel=1e-9)
    squares = ERRORS**2
    of_squares = variance(without_each(lambda chosen: squares[chosen].mean())) / (squares.var(ddof=1) / N)
    limits = loss_limits(squares, max(of_squares, 1.0), len(FOLDS) - 1)
    assert (found["mse"]["low"], found["mse"]["high"]) == pytest.approx(limits, rel=1e-9)
    assert report["notes"][0].endswith("may be alike: the intervals allow for it.")
    (part,) = report["tasks"][0]["by"]["parts"]
    shown = {each["name"]: each for each in part["metrics"]}
    assert shown["mae"]["low"] == pytest.approx(found["mae"]["low"], rel=1e-9)
    assert "low" not in shown["r2"] and "folds" in shown["r2"]["no_interval"]


def test_documents_without_a_fold(engine_with: SearchEngine) -> None:
    """Those of an earlier version: the command that adds it is named."""
    _, found = metrics(engine_with, "old")
    assert found["r2"]["no_interval"].endswith("request-logger rescore adds it")
    assert found["mse"]["no_interval"].startswith("all values are equal")
    assert "low" not in found["r2"] and "low" not in found["mse"]
