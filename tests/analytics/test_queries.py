"""The query layer on a real engine: exact sums by metric, time and field; coverage; delays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import numpy as np
import pytest
from sklearn import metrics

from request_logger.analytics import coverage, queries
from request_logger.analytics.buckets import (
    MISSING,
    by_field,
    by_ranges,
    over_time,
    over_time_of_each,
    quantile_edges,
    values_of,
)
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.fields import find_field
from request_logger.analytics.plot_data.over_time import coverage as coverage_over_time
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.rollups import Moments, MomentSums, from_needs, needs_of
from request_logger.analytics.scope import Scope, find_scope, scored_by
from request_logger.analytics.tasks import metrics_of, tasks_of
from request_logger.scoring.registry import build
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from scorers.base import Count, Metric, Row, Terms, TermsBy, mean_of
from tests.analytics.stored import START, document, engine_at, store

pytestmark = pytest.mark.engine

N = 1200
NAMES = ("ant", "bee", "cow")
SCORER = build("multiclass", {})
RNG = np.random.default_rng(20)
TRUTHS = RNG.integers(0, 3, N)
ROWS = RNG.dirichlet((1.5, 1.0, 0.7), N)
ANSWERS = ROWS.argmax(axis=1)
AGES = RNG.integers(18, 80, N)
COLORS = np.where(RNG.random(N) < 0.1, "", RNG.choice(["red", "green", "blue"], N))
MODELS = np.where(RNG.random(N) < 0.4, "b", "a")
HOURS = np.arange(N) * 7 / 60
LATE = RNG.exponential(3600, N).round(3)
INDEX = "inference-log-seldon-test-queries-default"


@pytest.fixture(scope="module")
def client(engine: Any) -> SearchEngine:
    return engine_at(engine.url)


@pytest.fixture(scope="module")
def scope(client: SearchEngine) -> Iterator[Scope]:
    """1,200 scored predictions, 300 without feedback, 5 that could not be scored, one feedback alone."""
    made = [
        document(
            SCORER,
            NAMES[TRUTHS[k]],
            ROWS[k].tolist(),
            names=NAMES,
            at=START + timedelta(hours=float(HOURS[k])),
            late=timedelta(seconds=float(LATE[k])),
            deployment="queries",
            model=str(MODELS[k]),
            elements={"age": int(AGES[k]), **({"color": str(COLORS[k])} if COLORS[k] else {})},
        )
        for k in range(N)
    ]
    made += [document(None, None, None, deployment="queries") for _ in range(300)]
    for each in made[-5:]:
        each["metrics"] = {"scorer": "multiclass", "unscorable": "the truth is null", "error": "the truth is null"}
    alone = document(None, None, None, deployment="queries")
    del alone["request"], alone["response"]
    alone["feedback"] = {"ce-time": alone["@timestamp"], "reward": 1}
    store(client, INDEX, [*made, alone])
    yield find_scope(client, Settings(), "test/queries")
    client.request("DELETE", f"/{INDEX}")


@pytest.fixture
def runner(client: SearchEngine) -> QueryRunner:
    return QueryRunner(client)


def accuracy(chosen: Any) -> float:
    return float(metrics.accuracy_score(TRUTHS[chosen], ANSWERS[chosen]))


def test_all_metrics(runner: QueryRunner, scope: Scope) -> None:
    answers = runner.fetch(scope, needs_of(SCORER), SCORED)
    found = from_needs(SCORER, answers)
    assert found["accuracy"] == pytest.approx(accuracy(slice(None)), abs=1e-12)
    assert found["f1_macro"] == pytest.approx(metrics.f1_score(TRUTHS, ANSWERS, average="macro"), abs=1e-9)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(TRUTHS, ROWS), abs=1e-9)


SCORED = scored_by("multiclass")


def test_moments(runner: QueryRunner, scope: Scope) -> None:
    spread: MomentSums = runner.fetch(scope, [Moments("log_loss")], SCORED)[Moments("log_loss")]
    losses = -np.log(ROWS[np.arange(N), TRUTHS])
    assert (spread.n, spread.low, spread.high) == (N, losses.min(), losses.max())
    assert spread.total == pytest.approx(losses.sum(), rel=1e-12)
    assert spread.squares == pytest.approx((losses**2).sum(), rel=1e-12)


@pytest.mark.parametrize("page", [2, 1000])
def test_more_values_than_a_terms_aggregation_returns(
    runner: QueryRunner, scope: Scope, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """With room for one value only, the answer is as exact: it is read page by page."""
    statistics = needs_of(SCORER)
    whole = runner.fetch(scope, statistics, SCORED)
    monkeypatch.setattr("request_logger.analytics.rollups.TERMS_SIZE", 1)
    monkeypatch.setattr(queries, "PAGE", page)
    monkeypatch.setattr(QueryRunner.pages, "__kwdefaults__", {"size": page, "most": None})
    paged = runner.fetch(scope, statistics, SCORED)
    for statistic in statistics:
        if isinstance(statistic, (Terms, TermsBy, Count)):
            assert paged[statistic] == whole[statistic]
        found, expected = from_needs(SCORER, paged), from_needs(SCORER, whole)
    assert found["ece"] == pytest.approx(expected["ece"], abs=1e-12)
    assert found.keys() == expected.keys()


@pytest.mark.parametrize("size", [10_000, 1])
def test_by_field(
    runner: QueryRunner, scope: Scope, client: SearchEngine, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("request_logger.analytics.rollups.TERMS_SIZE", size)
    for name, values in (("color", COLORS), ("model", MODELS)):
        parts = by_field(runner, scope, needs_of(SCORER), find_field(runner, scope, name), SCORED)
        assert {part.label: part.count for part in parts} == {v or MISSING: n for v, n in Counter(values).items()}
        for part in parts:
            chosen = values == ("" if part.key is None else part.key)
            assert from_needs(SCORER, part.answers)["accuracy"] == pytest.approx(accuracy(chosen), abs=1e-12)
            f1 = metrics.f1_score(TRUTHS[chosen], ANSWERS[chosen], average="macro")
            assert from_needs(SCORER, part.answers)["f1_macro"] == pytest.approx(f1, abs=1e-9)


def test_by_ranges(runner: QueryRunner, scope: Scope, client: SearchEngine) -> None:
    field = find_field(runner, scope, "age")
    assert field.is_number
    edges = quantile_edges(runner, scope, field, 4, SCORED)
    assert len(edges) == 3
    parts = by_ranges(runner, scope, needs_of(SCORER, ["accuracy"]), field, edges, SCORED)
    assert sum(part.count for part in parts) == N
    bounds = [-np.inf, *edges, np.inf]
    for part, low, high in zip(parts, bounds, bounds[1:], strict=False):
        chosen = (low <= AGES) & (high > AGES)
        assert part.count == chosen.sum()
        assert 0.15 * N < part.count < 0.35 * N
        values = from_needs(SCORER, part.answers, ["accuracy"])
        assert values["accuracy"] == pytest.approx(accuracy(chosen), abs=1e-12)


@pytest.mark.parametrize("size", [10_000, 1])
@pytest.mark.parametrize(("window", "hours"), [("6h", 6), ("1d", 24), ("1w", 168)])
def test_over_time(
    runner: QueryRunner, scope: Scope, monkeypatch: pytest.MonkeyPatch, window: str, hours: int, size: int
) -> None:
    monkeypatch.setattr("request_logger.analytics.rollups.TERMS_SIZE", size)
    parts = over_time(runner, scope, needs_of(SCORER), window, SCORED)
    assert [part.key for part in parts] == [START + timedelta(hours=hours * k) for k in range(len(parts))]
    for number, part in enumerate(parts):
        chosen = (hours * number <= HOURS) & (hours * (number + 1) > HOURS)
        assert part.count == chosen.sum()
        assert from_needs(SCORER, part.answers)["accuracy"] == pytest.approx(accuracy(chosen), abs=1e-12)


@pytest.mark.parametrize("limit", ["", "terms", "buckets"])
def test_over_time_of_each(runner: QueryRunner, scope: Scope, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """One search has the windows of several segments as searches of each have them; also beyond the limits."""
    models = values_of(runner, scope, find_field(runner, scope, "model"), SCORED)
    expected = [over_time(runner, scope, needs_of(SCORER), "1d", SCORED, model.only) for model in models]
    if limit == "terms":
        monkeypatch.setattr("request_logger.analytics.rollups.TERMS_SIZE", 1)
    if limit == "buckets":
        whole = runner.aggregate

        def refused(where: Scope, aggs: dict[str, Any], *more: Any) -> dict[str, Any]:
            if "part_0" in aggs.get("segments", {}).get("aggs", {}):
                raise queries.TooManyBucketsError("too many buckets")
            return whole(where, aggs, *more)

        monkeypatch.setattr(runner, "aggregate", refused)
    assert over_time_of_each(runner, scope, needs_of(SCORER), "1d", models, SCORED) == expected
    assert len(expected) == 2
    assert sum(each.count for curve in expected for each in curve) == N


def test_by_feedback_date(client: SearchEngine, runner: QueryRunner) -> None:
    """The span is that of the feedback's own date, the end not included."""
    end = START + timedelta(hours=50)
    found = find_scope(client, Settings(), INDEX, START.isoformat(), end.isoformat(), "feedback")
    came = HOURS * 3600 + LATE
    assert runner.count(found, SCORED) == (came.round(3) < 50 * 3600).sum()
    parts = over_time(runner, found, [], "1d", SCORED)
    assert [part.count for part in parts] == [
        ((k * 24 <= came / 3600) & (came / 3600 < min(k * 24 + 24, 50))).sum() for k in range(3)
    ]


def test_coverage(runner: QueryRunner, scope: Scope) -> None:
    assert coverage.coverage(runner, scope) == coverage.Coverage(N + 300, N + 5, N, N, 0, 5, 1, failed=0)
    assert coverage.reasons(runner, scope) == [("the truth is null", 5)]


@pytest.mark.parametrize(("window", "used"), [("1d", "1d"), ("", "6h"), ("5s", "6h")])
def test_coverage_over_time(runner: QueryRunner, scope: Scope, window: str, used: str) -> None:
    """Of all predictions; in longer windows where they would have too many."""
    found = coverage_over_time(runner, scope, window, None)
    assert found is not None
    assert found["window"] == used
    hours = 24 if used == "1d" else 6
    counts = np.bincount((HOURS // hours).astype(int))
    assert [point["n"] for point in found["points"]] == [counts[0] + 300, *counts[1:]]
    assert [point["with_feedback"] for point in found["points"]] == [counts[0] + 5, *counts[1:]]
    with pytest.raises(BadQueryError, match=r"^--window: expected a length"):
        coverage_over_time(runner, scope, "fortnight", None)


@pytest.mark.parametrize("most", [10_000, 400])
def test_delay(runner: QueryRunner, scope: Scope, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """All delays where they are few; else a random choice, the same one each time."""
    monkeypatch.setattr(coverage, "MOST_READ", most)
    monkeypatch.setattr(coverage, "SAMPLE", 400)
    found = coverage.delay(runner, scope)
    assert found is not None
    assert found.n == N
    assert found.mean == pytest.approx(LATE.mean(), abs=1e-3)
    if most >= N:
        assert found.sample == pytest.approx(sorted(LATE), abs=2e-3)
        assert found.quantile(0.5) == pytest.approx(np.quantile(LATE, 0.5, method="inverted_cdf"), abs=2e-3)
        assert found.within(3600) == pytest.approx((LATE <= 3600).mean(), abs=1e-12)
    else:
        assert len(found.sample) == most
        assert found == coverage.delay(runner, scope)
        assert found.quantile(0.5) == pytest.approx(np.median(LATE), rel=0.25)


def test_tasks(runner: QueryRunner, scope: Scope) -> None:
    (task,) = tasks_of(runner, scope, Settings())
    assert (task.name, task.count, task.shown[0].name) == ("multiclass", N, "accuracy")


def test_an_index_that_the_original_made(client: SearchEngine, runner: QueryRunner) -> None:
    """Its text fields are no keywords, and the first document of it has no metrics: the answers are the same."""
    index = "g-original"
    first = document(None, None, None, deployment="original", elements={"color": "red", "age": 3})
    try:
        client.request("PUT", f"/{index}/_doc/first", first)
        made = [
            document(
                SCORER,
                NAMES[TRUTHS[k]],
                ROWS[k].tolist(),
                names=NAMES,
                deployment="original",
                model=str(MODELS[k]),
                elements={"age": int(AGES[k]), "color": str(COLORS[k])},
            )
            for k in range(50)
        ]
        store(client, index, made)
        found = find_scope(client, Settings(index_name=index), "original")
        assert coverage.coverage(runner, found).predictions == 51
        for name, values in (("color", COLORS[:50]), ("model", MODELS[:50])):
            parts = by_field(runner, found, needs_of(SCORER), find_field(runner, found, name), SCORED)
            assert {part.label: part.count for part in parts} == dict(Counter(values))
            for part in parts:
                expected = metrics.accuracy_score(TRUTHS[:50][values == part.key], ANSWERS[:50][values == part.key])
                assert from_needs(SCORER, part.answers)["accuracy"] == pytest.approx(expected, abs=1e-12)
        assert find_field(runner, found, "age").is_number
    finally:
        client.request("DELETE", f"/{index}")


def test_nothing_there(runner: QueryRunner, client: SearchEngine) -> None:
    """No index and no document are no errors: there is nothing to tell."""
    for target in ("inference-log-nothing-*", "no-such-deployment"):
        empty = find_scope(client, Settings(), target)
        assert coverage.coverage(runner, empty).predictions == 0
        assert coverage.delay(runner, empty) is None
        assert coverage_over_time(runner, empty, "1d", None) == {"window": "1d", "points": []}
        assert coverage_over_time(runner, empty, "", None) is None
        assert tasks_of(runner, empty, Settings()) == []
        found = from_needs(SCORER, runner.fetch(empty, needs_of(SCORER)))
        assert found == {"confusion_matrix": {}, "per_class": {}}
        assert over_time(runner, empty, needs_of(SCORER), "1d") == []
        assert over_time_of_each(runner, empty, needs_of(SCORER), "1d", []) == []


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"start": "yesterday"}, "--from"),
        ({"end": "2026-13-01"}, "--to"),
        ({"by_date": "birth"}, "--by-date"),
        ({"target": "a//b"}, "namespace/deployment"),
    ],
)
def test_bad_scopes(client: SearchEngine, options: dict[str, str], field: str) -> None:
    with pytest.raises(BadQueryError, match=field):
        find_scope(client, Settings(), **options)


def test_bad_questions(client: SearchEngine, runner: QueryRunner, scope: Scope) -> None:
    with pytest.raises(BadQueryError, match=r"--by: .*'weight_of_nothing'"):
        find_field(runner, scope, "weight_of_nothing")
    with pytest.raises(BadQueryError, match=r"--window: .*'fortnight'"):
        over_time(runner, scope, [], "fortnight")
    with pytest.raises(BadQueryError, match=r"--window: 5s gives more than 2,000 windows"):
        over_time(runner, scope, [], "5s", SCORED)


@dataclass(frozen=True)
class Half:
    """A scorer of a user's own."""

    name: ClassVar[str] = "half"
    metrics: ClassVar[tuple[Metric, ...]] = (mean_of("half", "half"),)

    def score(self, truth: Row, prediction: Row) -> dict[str, float]:
        return {"half": 0.5}


def test_scorers_of_a_users_own() -> None:
    """They are found by the settings that the server has."""
    assert [metric.name for metric in metrics_of("half", Settings(scorer=f"{__name__}.Half"))] == ["half"]
    assert metrics_of("half", Settings()) == ()
    assert metrics_of("half", Settings(scorer="no.such.Half")) == ()


@pytest.mark.parametrize(
    "target",
    ["secret*", ".kibana,inference-log-a", "inference-log-*,secret", "inference-log-*:secret", "far:inference-log-a"],
)
def test_through_the_server_no_other_index_is_read(client: SearchEngine, target: str) -> None:
    """Who may ask the server may not ask all that the server may."""
    with pytest.raises(BadQueryError, match="target: "):
        find_scope(client, Settings(), target, only_own=True)


def test_a_foreign_index_is_no_deployment(client: SearchEngine) -> None:
    client.request("PUT", "/g-secret")
    try:
        assert find_scope(client, Settings(), "g-secret").indices == "g-secret"
        assert find_scope(client, Settings(), "g-secret", only_own=True).indices == "inference-log-*"
        named = find_scope(client, Settings(index_name="g-secret"), "g-secret", only_own=True)
        assert named.indices == "g-secret"
    finally:
        client.request("DELETE", "/g-secret")
