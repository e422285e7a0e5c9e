"""Thresholds from bins of the score, against scikit-learn on the same pairs; and on a real engine."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.thresholds.areas import average_precision, kolmogorov_smirnov
from request_logger.analytics.thresholds.best import best_edge, most_possible, uncertainty
from request_logger.analytics.thresholds.cells import (
    Cells,
    Costs,
    by_threshold,
    counts_of,
    distinct_edges,
    f1,
    threshold_of,
    value_by,
)
from request_logger.analytics.thresholds.report import BINS, figures, outcomes
from request_logger.cli import main
from request_logger.scoring.registry import build
from request_logger.settings import Settings
from scorers.probabilities import score_bin
from tests.analytics.stored import document, engine_at, store
from tests.analytics.sums import answers_of

SCORER = build("binary", {"probabilities": True})
COSTS = Costs(tp=2.0, fp=-1.0, fn=-10.0, tn=0.25)
N = 600
RNG = np.random.default_rng(23)
SCORES = RNG.beta(1, 3, N)
FRAUD = (RNG.random(N) < SCORES**0.8).astype(int)
FOLD = RNG.integers(0, 20, N)
INDEX = "inference-log-seldon-test-thresholds-default"


def bins_of(truths: Any, scores: Any) -> tuple[Any, Any]:
    return counts_of(answers_of(SCORER, np.asarray(truths), np.asarray(scores))[BINS])


def value(costs: Costs, truths: Any, said: Any) -> float:
    of_positives = np.where(said, costs.tp, costs.fn)
    return float(np.where(truths, of_positives, np.where(said, costs.fp, costs.tn)).mean())


def test_each_threshold() -> None:
    """At the edges of the bins, precision, recall, F1 and value are exact."""
    cells = by_threshold(*bins_of(FRAUD, SCORES))
    edges = distinct_edges(*bins_of(FRAUD, SCORES))
    assert len(edges) > 30
    for edge in edges[:-1]:
        threshold = threshold_of(edge)
        assert threshold is not None
        said = (threshold <= SCORES).astype(int)
        at = Cells(*(float(each[edge]) for each in (cells.tp, cells.fp, cells.fn, cells.tn)))
        found = outcomes(at, COSTS)
        assert found["precision"] == pytest.approx(sk.precision_score(FRAUD, said), abs=1e-9)
        assert found["recall"] == pytest.approx(sk.recall_score(FRAUD, said), abs=1e-9)
        assert found["f1"] == pytest.approx(sk.f1_score(FRAUD, said), abs=1e-9)
        assert found["false_positive_rate"] == pytest.approx(said[FRAUD == 0].mean(), abs=1e-9)
        assert found["value"] == pytest.approx(value(COSTS, FRAUD, said), abs=1e-9)
    assert threshold_of(edges[-1]) is None
    assert (cells.tp[-1], cells.fp[-1]) == (0, 0)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=80))
def test_areas(pairs: list[tuple[bool, float]]) -> None:
    """Those of scikit-learn and scipy for the binned scores; those of the scores themselves are within the bounds."""
    truths, scores = (np.array(each) for each in zip(*pairs, strict=True))
    positives, negatives = bins_of(truths.astype(int), scores.astype(float))
    area, distance = average_precision(positives, negatives), kolmogorov_smirnov(positives, negatives)
    binned = np.array([score_bin(score) for score in scores])
    if not truths.any():
        assert area is None
        return
    assert area is not None
    assert area.value == pytest.approx(sk.average_precision_score(truths, binned), abs=1e-9)
    exact = sk.average_precision_score(truths, scores)
    assert area.least - 1e-9 <= exact <= area.most + 1e-9
    if truths.all():
        assert distance is None
        return
    assert distance is not None
    ks, edge = distance
    assert ks.value == pytest.approx(stats.ks_2samp(binned[truths], binned[~truths]).statistic, abs=1e-9)
    assert ks.least - 1e-9 <= stats.ks_2samp(scores[truths], scores[~truths]).statistic <= ks.most + 1e-9
    cells = by_threshold(positives, negatives)
    assert abs(cells.tp[edge] / truths.sum() - cells.fp[edge] / (~truths).sum()) == pytest.approx(ks.value)


def test_some_scores_reach_the_bounds() -> None:
    """The least has distinct positives below the negatives of their bin; the most has equal ones above these."""
    positives, negatives = np.array([1, 2, 1, 3]), np.array([2, 1, 1, 1])
    truths = np.concatenate([np.repeat([1, 0], pair) for pair in zip(positives, negatives, strict=True)])
    low = np.concatenate(
        [
            np.append(k + 0.1 * np.arange(p) / p, k + 0.5 + 0.1 * np.arange(n))
            for k, (p, n) in enumerate(zip(positives, negatives, strict=True))
        ]
    )
    high = np.concatenate(
        [
            np.append(np.full(p, k + 0.9), k + 0.1 * np.arange(n))
            for k, (p, n) in enumerate(zip(positives, negatives, strict=True))
        ]
    )
    area, distance = average_precision(positives, negatives), kolmogorov_smirnov(positives, negatives)
    assert area is not None and distance is not None
    assert area.least == pytest.approx(sk.average_precision_score(truths, low), abs=1e-12)
    assert area.most == pytest.approx(sk.average_precision_score(truths, high), abs=1e-12)
    found = [stats.ks_2samp(scores[truths == 1], scores[truths == 0]).statistic for scores in (low, high)]
    assert distance[0].most == pytest.approx(max(found), abs=1e-12)
    mirrored = kolmogorov_smirnov(negatives, positives)
    assert mirrored is not None
    assert mirrored[0].most == pytest.approx(distance[0].most, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=40),
    st.tuples(*[st.floats(-10, 10)] * 4),
)
def test_no_threshold_is_better_than_possible(pairs: list[tuple[bool, float]], values: tuple[float, ...]) -> None:
    """Not even one between two edges."""
    truths, scores = (np.array(each) for each in zip(*pairs, strict=True))
    positives, negatives = bins_of(truths.astype(int), scores.astype(float))
    costs = Costs(*values)
    for objective, judge in (
        (value_by(costs), lambda said: value(costs, truths, said)),
        (f1, lambda said: sk.f1_score(truths, said, zero_division=0)),
    ):
        most = max(judge(scores >= threshold) for threshold in [*scores, 2.0])
        bound = most_possible(positives, negatives, objective)
        assert most <= bound + 1e-9
        best = objective(by_threshold(positives, negatives))[best_edge(positives, negatives, objective)]
        assert best <= most + 1e-9 or best == pytest.approx(bound)


def test_uncertainty_of_the_best_threshold() -> None:
    """Cross-fitted by hand: chosen on 19 folds, judged on the other; its interval is the jackknife's."""
    split = [bins_of(FRAUD[fold == FOLD], SCORES[fold == FOLD]) for fold in range(20)]
    positives, negatives = (np.array([each[k] for each in split]) for k in (0, 1))
    objective = value_by(COSTS)
    found = uncertainty(positives, negatives, objective)
    said = np.zeros(N, dtype=int)
    for fold in range(20):
        others = fold != FOLD
        values = [
            value(COSTS, FRAUD[others], SCORES[others] >= threshold)
            for edge in range(100)
            if (threshold := threshold_of(edge)) is not None
        ]
        chosen = threshold_of(int(np.argmax(values)))
        said[~others] = SCORES[~others] >= chosen
    assert found.value == pytest.approx(value(COSTS, FRAUD, said), abs=1e-9)
    without = np.array([value(COSTS, FRAUD[fold != FOLD], said[fold != FOLD]) for fold in range(20)])
    half = stats.t.ppf(0.975, 19) * math.sqrt(19 / 20 * ((without - without.mean()) ** 2).sum())
    assert found.interval == pytest.approx((found.value - half, found.value + half), abs=1e-9)
    whole = positives.sum(axis=0), negatives.sum(axis=0)
    assert found.edges[0] <= best_edge(*whole, objective) <= found.edges[1]
    assert found.edges == uncertainty(positives, negatives, objective).edges
    # Where the best one is in use, nothing is gained.
    cells = by_threshold(positives, negatives)
    edge = best_edge(*whole, objective)
    current = Cells(*(each[:, edge] for each in (cells.tp, cells.fp, cells.fn, cells.tn)))
    against = uncertainty(positives, negatives, objective, current)
    assert against.gain is not None and against.gain_interval is not None
    assert against.gain <= 1e-9 and against.gain_interval[1] < 0.1


@pytest.mark.parametrize(
    "text", ["", "tp", "tp=a", "tp=1,tp=2", "yes=1", "tp=inf", "tp=1,fn=1", "tp=nan,fn=2", "tp=1,,"]
)
def test_invalid_costs(text: str) -> None:
    with pytest.raises(BadQueryError, match=r"^--cost: expected") as raised:
        Costs.of(text)
    assert "yes" not in str(raised.value)


def test_costs() -> None:
    assert Costs.of("fn = -10, fp=-1") == Costs(fp=-1.0, fn=-10.0)


@pytest.mark.parametrize("truths", [np.zeros(5, dtype=int), np.ones(5, dtype=int)])
def test_one_class(truths: Any) -> None:
    """There are no figures."""
    assert figures(answers_of(SCORER, truths, np.full(5, 0.3))) is None


@pytest.fixture(scope="module")
def target(engine: Any) -> Iterator[str]:
    client = engine_at(engine.url)
    made = [
        document(SCORER, int(FRAUD[k]), float(SCORES[k]), deployment="thresholds") | {"fold": int(FOLD[k])}
        for k in range(N)
    ]
    made += [document(SCORER, k % 2, 0.1 + k % 2 / 2, deployment="unfolded") for k in range(40)]
    store(client, INDEX, made, prefix="thresholds-")
    yield "test/thresholds"
    client.request("DELETE", f"/{INDEX}")


@pytest.fixture
def run(target: str, reach: Settings, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def command(*argv: str) -> tuple[int, str, str]:
        status = main(["thresholds", *argv])
        return status, *capsys.readouterr()

    return command


@pytest.mark.engine
def test_command(run: Callable[..., tuple[int, str, str]], target: str) -> None:
    """The stored documents have the figures of the pairs."""
    status, out, _ = run(target, "--cost", "tp=2,fp=-1,fn=-10,tn=0.25", "--json")
    (task,) = json.loads(out)["tasks"]
    assert status == 0
    positives, negatives = bins_of(FRAUD, SCORES)
    objective = value_by(COSTS)
    best = task["best"]
    edge = best_edge(positives, negatives, objective)
    assert best["threshold"] == threshold_of(edge)
    assert best["value"] == pytest.approx(float(objective(by_threshold(positives, negatives))[edge]), abs=1e-9)
    assert best["threshold_low"] <= best["threshold"] <= best["threshold_high"]
    assert task["current"]["value"] == pytest.approx(value(COSTS, FRAUD, SCORES >= 0.5), abs=1e-9)
    assert best["gain"] == pytest.approx(best["elsewhere"] - task["current"]["value"], abs=1e-9)
    assert best["gain_low"] > 0
    binned = [score_bin(score) for score in SCORES]
    assert task["average_precision"]["value"] == pytest.approx(sk.average_precision_score(FRAUD, binned), abs=1e-9)
    assert (
        task["average_precision"]["low"] < sk.average_precision_score(FRAUD, SCORES) < task["average_precision"]["high"]
    )
    assert task["gini"]["value"] == pytest.approx(2 * sk.roc_auc_score(FRAUD, binned) - 1, abs=1e-9)
    assert task["gini"]["least"] <= 2 * sk.roc_auc_score(FRAUD, SCORES) - 1 <= task["gini"]["most"]
    assert len(task["thresholds"]) == len(set(binned)) + 1


@pytest.mark.engine
def test_report(target: str, reach: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has the same figures, in words and as a plot of precision by recall."""
    assert main(["report", target, "--json"]) == 0
    (task,) = json.loads(capsys.readouterr().out)["tasks"]
    found = task["thresholds"]
    assert found["average_precision"] == figures(answers_of(SCORER, FRAUD, SCORES))["average_precision"]
    assert main(["report", target, "--all"]) == 0
    assert f"The best threshold is {found['best']['threshold']:.4g}: F1" in capsys.readouterr().out
    page = tmp_path / "page.html"
    assert main(["report", target, "--html", str(page)]) == 0
    assert "<h3>Precision and recall</h3>" in page.read_text()


@pytest.mark.engine
def test_text(run: Callable[..., tuple[int, str, str]], target: str) -> None:
    status, out, _ = run(target)
    assert status == 0
    assert (
        "The best threshold is" in out
        and "Average precision" in out
        and "No threshold, not even one between two bins, has a F1 over" in out
    )
    status, out, _ = run("test/unfolded")
    assert status == 0
    assert "No range of the best threshold: some documents were stored without a fold" in out
    status, out, _ = run("test/nothing")
    assert (status, out) == (1, "No scored predictions with a probability of two classes.\n")
    status, _, err = run(target, "--cost", "yes=1")
    assert (status, err.startswith("request-logger: --cost: expected")) == (2, True)
