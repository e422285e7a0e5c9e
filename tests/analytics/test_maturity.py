"""When labels are complete: as scipy's Kaplan-Meier estimate has it, from plain aggregations of a real engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from request_logger.analytics.compare import Comparison, compare
from request_logger.analytics.maturity import (
    EDGES,
    FEW_LABELS,
    NO_DELAYS,
    NOT_LEVEL,
    UNKNOWN_DELAYS,
    Cohort,
    UnknownMaturityError,
    find_maturity,
    maturity_of,
    only_mature,
    shares_within,
)
from request_logger.analytics.page import page
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.report import Options, make_report
from request_logger.analytics.scope import Scope
from request_logger.cli import main
from request_logger.commands.report_text import lines
from request_logger.scoring.registry import build
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from tests.analytics.stored import document, engine_at, store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = 86_400.0
Values = Any


def kaplan_meier(ages: Values, delays: Values, edges: Values) -> Values:
    """The share within each edge by scipy; ``ages`` are those of the cohorts, nan is a prediction without a label.

    A label counts at the end of its interval, a prediction is censored at the last edge that its cohort has outlived.
    """
    edges = np.asarray(edges, float)
    reached = edges[edges <= ages.max()]
    at = np.where(np.isnan(delays), np.inf, np.append(edges, np.inf)[np.searchsorted(edges, delays, side="right")])
    last = np.concatenate([[0.0], edges])[np.searchsorted(edges, ages, side="right")]
    is_seen = at <= last
    sample = stats.CensoredData(uncensored=at[is_seen], right=last[~is_seen])
    return stats.ecdf(sample).cdf.evaluate(reached)


def cohorts_of(ages: Values, delays: Values, edges: Values) -> list[Cohort]:
    found = []
    for age in np.unique(ages):
        counts, _ = np.histogram(delays[(ages == age) & (delays < edges[-1])], bins=[0.0, *edges])
        found.append(Cohort(float(age), int((ages == age).sum()), tuple(counts.tolist())))
    return found


@given(st.integers(0, 2**32 - 1))
def test_as_scipy_has_it(seed: int) -> None:
    """For any ages and delays, also of cohorts that are younger than every edge."""
    random = np.random.default_rng(seed)
    edges = np.cumsum(random.integers(1, 20, 6)).astype(float)
    ages = random.choice(random.integers(-5, 100, 5), 80).astype(float)
    ages[0] = edges[0]
    delays = np.where(random.random(80) < 0.6, np.floor(random.exponential(15, 80)), np.nan)
    found = shares_within(cohorts_of(ages, delays, edges), edges.tolist())
    assert found == pytest.approx(kaplan_meier(ages, delays, edges), rel=1e-9, abs=1e-12)


def cohort(age: float, n: int, *delays: int) -> Cohort:
    return Cohort(age, n, (*delays, *[0] * (4 - len(delays))))


@pytest.mark.parametrize(
    ("cohorts", "unknown", "age", "problem"),
    [
        # 95 of 100 labels come within the second edge, 94 don't suffice.
        ([cohort(40, 1000, 50, 45, 3, 2), cohort(5, 10)], 0, 20, None),
        ([cohort(40, 1000, 50, 44, 4, 2)], 0, 30, None),
        # The last fifth of the time has more than 5 % of the labels.
        ([cohort(40, 1000, 50, 20, 20, 10)], 0, None, NOT_LEVEL),
        ([cohort(40, 1000, 30, 15, 2, 2)], 0, None, FEW_LABELS),
        ([cohort(5, 1000, 100)], 0, None, FEW_LABELS),
        ([cohort(40, 1000)], 0, None, NO_DELAYS),
        ([cohort(40, 1000)], 1000, None, NO_DELAYS),
        ([cohort(40, 1000, 50, 45, 3, 2)], 5, 20, None),
        ([cohort(40, 1000, 50, 45, 3, 2)], 6, None, UNKNOWN_DELAYS),
        # One document of a wrong clock is no oldest cohort.
        ([cohort(4000, 1, 0), cohort(25, 1000, 100, 100)], 0, None, NOT_LEVEL),
    ],
)
def test_the_age_of_maturity(cohorts: list[Cohort], unknown: int, age: float | None, problem: str | None) -> None:
    """Or why it is unknown."""
    found = maturity_of(cohorts, unknown, NOW, (10, 20, 30, 40))
    assert (found.age, found.problem) == (age, problem)
    assert found.is_mature(NOW - timedelta(seconds=20)) == (None if age is None else age <= 20)
    if problem:
        with pytest.raises(UnknownMaturityError, match=f"--mature: {problem[:20]}"):
            only_mature(Scope("i"), found)


def test_edges_are_in_order() -> None:
    """Each at most two and a half times the one before; with all windows they fit into one answer of old engines."""
    assert all(one < other <= 2.5 * one for one, other in pairwise(EDGES))
    assert 200 * (len(EDGES) + 1) < 10_000


# On an engine.

DAYS, PER_DAY = 40, 30
N = DAYS * PER_DAY
RNG = np.random.default_rng(5)
SINCE = np.repeat(np.arange(DAYS), PER_DAY) * DAY + RNG.integers(1, 86_399, N)
TRUTHS = RNG.integers(0, 2, N)
# Truths of the class 1 come late, and those of the last days have not come yet.
DELAYS = np.round(np.where(TRUTHS == 1, RNG.exponential(3 * DAY, N), RNG.exponential(0.1 * DAY, N)), 3)
LABELLED = RNG.random(N) < 0.5
INDEX = "inference-log-seldon-test-maturity-default"


@pytest.fixture(scope="module")
def engine_with(engine: Any) -> Iterator[SearchEngine]:
    """The engine with 40 days of predictions that end now, half of which get a label."""
    client = engine_at(engine.url)
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS - 1)
    now = datetime.now(UTC)
    scorer = build("binary", {})
    made = []
    for k in range(N):
        at = start + timedelta(seconds=float(SINCE[k]))
        known = bool(LABELLED[k]) and at + timedelta(seconds=float(DELAYS[k])) <= now
        late = {"late": timedelta(seconds=float(DELAYS[k])), "delay_seconds": float(DELAYS[k])} if known else {}
        answer = 0.9 if (TRUTHS[k] == 1) == (k % 5 > 0) else 0.1
        predictor = "ab"[k % 2]
        found = document(
            scorer if known else None, int(TRUTHS[k]), answer, at=at, deployment="late", predictor=predictor, **late
        )
        if at <= now:
            made.append(found)
    store(client, INDEX, made)
    yield client
    client.request("DELETE", f"/{INDEX}")


def expected(engine: SearchEngine, now: datetime) -> tuple[Values, Values, Values]:
    """The ages of the cohorts, the delays and the times of all stored documents, from the documents themselves."""
    answer = engine.request("POST", f"/{INDEX}/_search", {"size": 2 * N, "_source": ["@timestamp", "metrics"]})[1]
    sources = [hit["_source"] for hit in answer["hits"]["hits"]]
    times = np.array([datetime.fromisoformat(source["@timestamp"]).timestamp() for source in sources])
    delays = np.array([source.get("metrics", {}).get("delay_seconds", np.nan) for source in sources])
    # The shortest window that gives at most 200 of them.
    width = 21_600.0
    assert times.max() - times.min() <= width * 199
    return now.timestamp() - (np.floor(times / width) + 1) * width, delays, times


def text_of(report: dict[str, Any]) -> list[str]:
    return "\n".join(lines(report)).splitlines()


@pytest.mark.engine
def test_the_curve_of_stored_documents(engine_with: SearchEngine) -> None:
    """To 1e-9, by one date_histogram with ranges of the delay."""
    now = datetime.now(UTC)
    found = find_maturity(QueryRunner(engine_with), Scope(INDEX, start="now-1d"), now)
    ages, delays, _ = expected(engine_with, now)
    assert found is not None
    assert found.shares == pytest.approx(kaplan_meier(ages, delays, EDGES)[: len(found.edges)], rel=1e-9)
    assert found.problem is None
    complete = found.edges[int(np.argmax(np.array(found.shares) >= 0.95 * found.shares[-1]))]
    assert found.age == complete
    assert 5 * DAY <= complete <= 14 * DAY


@pytest.mark.engine
def test_a_report_marks_young_windows(engine_with: SearchEngine) -> None:
    """In JSON, text and on the page; --mature leaves them out."""
    report = make_report(engine_with, Settings(), Options("late", window="1d"))
    maturity = report["maturity"]
    points = report["tasks"][0]["over_time"]["points"]
    before = datetime.fromisoformat(maturity["before"])
    assert [point["mature"] for point in points] == [
        datetime.fromisoformat(point["start"]) + timedelta(days=1) <= before for point in points
    ]
    young = sum(not point["mature"] for point in points)
    assert 5 <= young <= 15
    assert sum(line.startswith("  20") and line.endswith(" young") for line in text_of(report)) == young
    drawn = page(report)
    of_coverage = sum(not point["mature"] for point in report["coverage_over_time"]["points"])
    assert of_coverage >= young
    assert drawn.count('class="young"') == young + of_coverage
    assert "Hollow dots are young windows" in drawn
    assert any("--mature leaves them out" in note for note in report["notes"])

    mature = make_report(engine_with, Settings(), Options("late", window="1d", mature=True))
    _, delays, times = expected(engine_with, datetime.now(UTC))
    is_old = times < datetime.fromisoformat(mature["maturity"]["before"]).timestamp()
    assert mature["coverage"]["predictions"] == is_old.sum()
    assert mature["coverage"]["scored"] == (is_old & ~np.isnan(delays)).sum()
    assert not any("--mature" in note for note in mature["notes"])


@pytest.mark.engine
def test_delays_by_truth(engine_with: SearchEngine) -> None:
    """Of mature predictions: numpy's quantiles of the delays themselves."""
    report = make_report(engine_with, Settings(), Options("late"))
    found = report["delay_by_label"]
    assert found["mature"] is True
    answer = engine_with.request("POST", f"/{INDEX}/_search", {"size": 2 * N, "_source": ["@timestamp", "metrics"]})[1]
    sources = [hit["_source"] for hit in answer["hits"]["hits"]]
    for row in found["labels"]:
        delays = [
            source["metrics"]["delay_seconds"]
            for source in sources
            if source.get("metrics", {}).get("truth_label") == row["label"]
            and source["@timestamp"] < report["maturity"]["before"]
        ]
        assert row["n"] == len(delays)
        for name, share in (("median", 0.5), ("quantile_95", 0.95)):
            assert row[name] == np.quantile(delays, share, method="inverted_cdf")
    assert {row["label"] for row in found["labels"]} == {"CLASS_0", "CLASS_1"}
    assert any(line.startswith("  CLASS_1") and line.split()[2] == "d" for line in text_of(report))


@pytest.mark.engine
def test_groups_are_compared_by_mature_predictions(engine_with: SearchEngine) -> None:
    """By the later labels of the two."""
    options = {"a": "a", "b": "b", "target": "late"}
    every = compare(engine_with, Settings(), Comparison(**options))
    mature = compare(engine_with, Settings(), Comparison(**options, mature=True))
    for side in "ab":
        assert 0 < mature[side]["documents"] < every[side]["documents"]


@pytest.mark.engine
def test_the_gate(
    engine_with: SearchEngine, engine: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It judges the mature predictions of the time span, and nothing where it is unknown which are."""
    parts = urlsplit(engine.url)
    monkeypatch.setenv("ELASTICSEARCH_HOST", parts.hostname or "")
    monkeypatch.setenv("ELASTICSEARCH_PORT", str(parts.port))

    def run(*more: str) -> tuple[int, str]:
        status = main(["check-quality", "--index", INDEX, "--min", "accuracy=0.1", *more])
        return status, capsys.readouterr().out

    every, mature = (json.loads(run(*more, "--json")[1])["conditions"][0]["pairs"] for more in ((), ("--mature",)))
    assert 0 < mature < every
    assert run("--mature", "--from", "now-3d") == (3, "not enough data: no scored pairs\n")
    status, out = run("--mature", "--deployment", "unknown")
    assert (status, out) == (3, "not enough data: --mature: there are no predictions\n")
    status, out = run("--mature", "--deployment", "unknown", "--json")
    assert (status, json.loads(out)["status"], json.loads(out)["conditions"]) == (3, 3, [])
