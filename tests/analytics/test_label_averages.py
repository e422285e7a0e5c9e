"""Intervals of averages over labels: the delta method over the documents themselves, to 1e-9, and a bootstrap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from request_logger.analytics.estimates import estimates, statistics_of
from request_logger.analytics.label_averages import COOCCURRENCES, MOST_LABELS, fetch_cooccurrences, variance_of_average
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Scope, scored_by
from request_logger.scoring.registry import build
from scorers.base import Metric
from tests.analytics.stored import document, engine_at, store
from tests.analytics.sums import answers_of

N, LABELS = 600, 5
SCORER = build("multilabel", {"indicator": True})
AVERAGES = [f"{part}_{how}" for part in ("precision", "recall", "f1", "jaccard") for how in ("micro", "macro", "weighted")]  # fmt: skip # noqa: E501
SCORES = {
    "precision": metrics.precision_score,
    "recall": metrics.recall_score,
    "f1": metrics.f1_score,
    "jaccard": metrics.jaccard_score,
}


def pairs(seed: int = 21, n: int = N) -> tuple[Any, Any]:
    """Labels that come together, and documents that are hard or easy as a whole; the last label is never predicted."""
    generator = np.random.default_rng(seed)
    truths = (generator.random((n, LABELS)) < generator.beta(1, 1, (n, 1)) * [0.9, 0.7, 0.5, 0.3, 0.1]).astype(int)
    knows = generator.random((n, 1)) < 0.7
    said = np.where(knows, truths, generator.integers(0, 2, (n, LABELS)))
    said[:, -1] = 0
    return truths, said


def named(name: str) -> Metric:
    return next(each for each in SCORER.metrics if each.name == name)


def score(name: str, truths: Any, said: Any) -> float:
    part, _, average = name.rpartition("_")
    return float(SCORES[part](truths, said, average=average, zero_division=0))


def jackknife(name: str, truths: Any, said: Any) -> Any:
    """What each document adds to the average: the derivative by its weight."""
    step = 1e-6
    weight = np.ones(len(truths))

    def of(weights: Any) -> float:
        part, _, average = name.rpartition("_")
        return float(SCORES[part](truths, said, average=average, zero_division=0, sample_weight=weights))

    slopes = []
    for k in range(len(truths)):
        up, down = weight.copy(), weight.copy()
        up[k] += step
        down[k] -= step
        slopes.append((of(up) - of(down)) / (2 * step))
    return np.array(slopes)


@pytest.mark.parametrize("name", AVERAGES)
def test_the_delta_method_is_that_of_the_documents(name: str) -> None:
    """sum of (derivative by a document's weight)^2, with scikit-learn's own averages differentiated numerically."""
    truths, said = pairs(n=80)
    answers = answers_of(SCORER, truths, said, COOCCURRENCES)
    slopes = jackknife(name, truths, said)
    # A constant share of all documents changes no average: the derivatives add up to nothing.
    assert slopes.sum() == pytest.approx(0, abs=1e-6)
    assert variance_of_average(named(name), answers) == pytest.approx((slopes**2).sum(), rel=1e-6)


@pytest.mark.parametrize("name", AVERAGES)
def test_to_the_last_digit(name: str) -> None:
    """The same from the documents' own sums, by the formulas written out over arrays."""
    truths, said = pairs()
    answers = answers_of(SCORER, truths, said, COOCCURRENCES)
    hit, wrong, missed = truths & said, said & ~truths & 1, truths & ~said & 1
    part, _, average = name.rpartition("_")
    k, a, b = {"precision": (1, 1, 0), "recall": (1, 0, 1), "f1": (2, 1, 1), "jaccard": (1, 1, 1)}[part]
    tops, bottoms = k * hit, k * hit + a * wrong + b * missed
    if average == "micro":
        top, bottom = tops.sum(), bottoms.sum()
        each = (tops.sum(axis=1) - top / bottom * bottoms.sum(axis=1)) / bottom
    else:
        top, bottom = tops.sum(axis=0), np.maximum(bottoms.sum(axis=0), 1)
        parts = (tops - top / bottom * bottoms) / bottom
        support = truths.sum(axis=0)
        if average == "macro":
            each = parts.mean(axis=1)
        else:
            mean = (support * top / bottom).sum() / support.sum()
            each = ((support * parts) + (top / bottom - mean) * truths).sum(axis=1) / support.sum()
    expected = ((each - each.mean()) ** 2).sum()
    assert variance_of_average(named(name), answers) == pytest.approx(expected, rel=1e-9)


def test_the_interval_is_that_of_a_bootstrap() -> None:
    """Documents drawn with replacement, 2,000 times: limits within 6 % of the width."""
    truths, said = pairs()
    found = {each.name: each for each in estimates(SCORER.metrics, answers_of(SCORER, truths, said, COOCCURRENCES))}
    draws = np.random.default_rng(22).integers(0, N, (2000, N))
    hits, positives, answers = ((each[draws]).sum(axis=1) for each in (truths & said, truths, said))
    f1 = 2 * hits / (positives + answers)
    for name, drawn in (
        ("f1_micro", 2 * hits.sum(axis=1) / (positives + answers).sum(axis=1)),
        ("f1_macro", f1.mean(axis=1)),
        ("f1_weighted", (f1 * positives).sum(axis=1) / positives.sum(axis=1)),
        ("precision_micro", hits.sum(axis=1) / answers.sum(axis=1)),
    ):
        assert found[name].value == pytest.approx(score(name, truths, said), abs=1e-9)
        low, high = np.quantile(drawn, [0.025, 0.975])
        interval = found[name].interval
        assert interval is not None
        slack = 0.06 * (high - low)
        if name.endswith("macro"):
            # A rare label's own interval is wider than what drawing its few documents again shows.
            assert low - 8 * slack < interval.low < low + slack and high - slack < interval.high < high + 8 * slack, (
                name
            )
        else:
            assert (interval.low, interval.high) == pytest.approx((low, high), abs=slack), name
        assert interval.method in ("Wilson, delta method", "MOVER of Wilson")


def test_where_nothing_varies() -> None:
    """All right: a point would say more than some documents can."""
    truths, _ = pairs()
    answers = answers_of(SCORER, truths, truths, COOCCURRENCES)
    assert variance_of_average(named("f1_micro"), answers) is None
    assert {each.name: each.interval for each in estimates(SCORER.metrics, answers)}["f1_micro"] is None


@pytest.mark.engine
def test_from_an_engine(engine: Any) -> None:
    """The engine's counts equal the documents'; none are fetched for many labels or one label per document."""
    client, index = engine_at(engine.url), "inference-log-seldon-test-labels-x"
    truths, said = pairs()
    store(client, index, [document(SCORER, t, s) for t, s in zip(truths.tolist(), said.tolist(), strict=True)])
    runner, scope = QueryRunner(client), Scope(index, (scored_by("multilabel"),))
    answers = runner.fetch(scope, statistics_of(SCORER.metrics))
    expected = answers_of(SCORER, truths, said, COOCCURRENCES)
    together = fetch_cooccurrences(runner, scope, answers)
    # An engine has a bucket for what is in no document with the other; it is empty.
    assert together == {need: expected[need] for need in COOCCURRENCES}
    many = {
        **answers,
        **{need: dict.fromkeys(map(str, range(MOST_LABELS + 1)), 1) for need in [named("f1_micro").needs["tp"]]},
    }
    assert fetch_cooccurrences(runner, scope, many) == {}
    assert fetch_cooccurrences(runner, scope, {}) == {}
    client.request("DELETE", f"/{index}")
