"""Custom metrics of feedback and of classes: fields of the document, and series on /v1/metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from request_logger.scoring.custom_metrics import MAX_METRICS, Series, combine, flatten, of_feedback
from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.test_metrics_server import samples, scrape


def metric(key: Any, value: Any, kind: str = "COUNTER", **tags: Any) -> dict[str, Any]:
    return {"key": key, "type": kind, "value": value, **({"tags": tags} if tags else {})}


def test_fields_add_up() -> None:
    """Counters and timers of one name add up, of gauges the last counts; a type may be left out."""
    fields, problems = flatten(
        [
            metric("hits", 1),
            {"key": "hits", "value": True},
            metric("t", 5, "timer"),
            metric("t", 6, "TIMER"),
            metric("g", 1, "GAUGE", zone="a b", cl="é"),
            metric("g", 2, "GAUGE", cl="é", zone="a b"),
        ]
    )
    assert problems == []
    series = fields.pop("series")
    assert fields == {"counter__hits": 2.0, "timer__t": 11.0, "gauge__g__cl_____zone__a_b": 2.0}
    assert [Series.of(text) for text in series] == [
        Series("COUNTER", "hits"),
        Series("TIMER", "t"),
        Series("GAUGE", "g", (("cl", "é"), ("zone", "a b"))),
    ]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"series": ["a", "b"]}, {"series": ["b", "c"]}, {"series": ["a", "b", "c"]}),
        ({"series": "a"}, {"series": ["b"]}, {"series": ["b"]}),
        ({"series": ["a"]}, {"series": "b"}, {"series": "b"}),
        ({"labels": ["a"]}, {"labels": ["b"]}, {"labels": ["b"]}),
        ({"counter__a": 1}, {"counter__a": 2.5}, {"counter__a": 3.5}),
        ({"timer__a": 1}, {"timer__a": "x"}, {"timer__a": "x"}),
        ({"timer__a": "x"}, {"timer__a": 1}, {"timer__a": 1}),
        ({"gauge__a": 1}, {"gauge__a": 2}, {"gauge__a": 2}),
        ({"counter__a": 1e308}, {"counter__a": 1e308, "b": 1}, {"b": 1}),
        ({"correct": 1}, {"correct": 0}, {"correct": 0}),
    ],
)
def test_fields_of_two_sources(first: dict[str, Any], second: dict[str, Any], expected: dict[str, Any]) -> None:
    """Only the counters, timers and series of custom metrics add up; of any other field the second source's counts."""
    assert combine(first, second) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        "text",
        3,
        None,
        {},
        {"key": "k"},
        metric("k", "1"),
        metric("k", None),
        metric("", 1),
        metric("k", float("nan")),
        metric("k", 1, "HISTOGRAM"),
        {**metric("k", 1), "tags": [1]},
        metric("k", 10**400),
    ],
)
def test_what_is_no_metric_is_left_out(wrong: Any) -> None:
    """It takes no other with it, and is said."""
    fields, problems = flatten([wrong, metric("good", 1)])
    assert fields["counter__good"] == 1.0
    assert len(fields) == 2
    assert len(problems) == 1


def test_sources_of_a_feedback() -> None:
    """``truth.meta.metrics`` and ``metrics`` both count; neither needs to be there, or to be a list."""
    inner, outer = [metric("a", 1)], [metric("a", 2), metric("b", 3)]
    fields, _ = of_feedback({"truth": {"meta": {"metrics": inner}}, "metrics": outer})
    assert (fields["counter__a"], fields["counter__b"], len(fields["series"])) == (3.0, 3.0, 2)
    for feedback in ({}, {"truth": None}, {"truth": 1}, {"truth": {"meta": []}}, {"metrics": []}):
        assert of_feedback(feedback) == ({}, [])
    assert of_feedback({"metrics": {"a": 1}}) == ({}, ["metrics: expected a list of metrics"])
    many, problems = flatten([metric(f"k{number}", 1) for number in range(MAX_METRICS + 1)])
    assert (len(many), len(problems)) == (MAX_METRICS + 1, 1)
    assert combine({"gauge__g": 1.0, "correct": 1}, {"gauge__g": 2.0}) == {"gauge__g": 2.0, "correct": 1}


def test_both_places_of_a_feedback() -> None:
    """Seldon's, in the truth, and the field of `POST /v1/feedback`; either alone, too."""
    of_truth, own = {"truth": {"meta": {"metrics": [metric("a", 1)]}}}, {"metrics": [metric("a", 2)]}
    found = [of_feedback(feedback)[0].get("counter__a") for feedback in (of_truth, own, of_truth | own, {})]
    assert found == [1.0, 2.0, 3.0, None]


def test_a_series_is_of_a_text_that_is_indexed() -> None:
    """Its text is a keyword of at most 8,000 characters, and the only place of its name."""
    longest = 8000 - len(Series("COUNTER", "").text)
    assert [len(flatten([metric("k" * size, 1)])[1]) for size in (longest, longest + 1)] == [0, 1]


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Server:
    """A server that shows at once what it counts."""
    return make_server(METRICS_CACHE_SECONDS="0")


def give(server: Server, deployment: str, request_id: str, feedback: Any, time: str = "", response: Any = None) -> None:
    sender = Sender(server.url)
    if response is not None:
        assert sender.send(event("response", request_id, deployment), ndarray(response))[0] == 200
    headers = event("feedback", request_id, deployment, **({"Ce_Time": time} if time else {}))
    assert sender.send(headers, json.dumps(feedback).encode())[0] == 200
    sender.close()


def series_of(server: Server, index: Index, deployment: str, *names: str) -> dict[tuple[str, str], float]:
    """Name and tag -> value."""
    return {
        (sample.name, sample.labels.get("tag", "")): sample.value
        for sample in samples(scrape(server, index).text)
        if sample.labels["deployment_name"] == deployment and sample.name.startswith(names)
    }


@pytest.mark.engine
def test_counter_and_gauge(server: Server, index: Index, deployment: str) -> None:
    """A counter is the sum, a gauge the value of the latest feedback by its own time, whenever it comes."""
    for number, (value, day) in enumerate([(1, "03"), (2, "05"), (4, "04")]):
        metrics = [metric("pay load", value), metric("level", value, "GAUGE"), metric("pay load", 1, tag='a "b".c')]
        feedback = {"truth": {"data": {"ndarray": [1]}, "meta": {"metrics": metrics}}}
        for _ in range(2):
            give(server, deployment, f"r{number}", feedback, f"2026-01-{day}T00:00:00Z", [1])
    assert series_of(server, index, deployment, "pay_load", "level") == {
        ("pay_load_total", ""): 7.0,
        ("pay_load_total", 'a "b".c'): 3.0,
        ("level", ""): 2.0,
    }
    total = index.aggregate(index_of(deployment), {"sum": {"sum": {"field": "metrics.counter__pay_load"}}})
    assert total["sum"]["value"] == 7


@pytest.mark.engine
def test_timer_is_a_histogram_in_seconds(server: Server, index: Index, deployment: str) -> None:
    """As the MetricsServer shows it: milliseconds come, the edges are numpy's from 1 ms to 30 s."""
    values = [0.5, 1.0, 1.5, 12.0, 250.0, 31_000.0]
    for number, value in enumerate(values):
        give(server, deployment, f"r{number}", {"truth": 1, "metrics": [metric("lag", value, "TIMER")]}, "", [1])
    found = [
        sample
        for sample in samples(scrape(server, index).text)
        if sample.labels["deployment_name"] == deployment and sample.name.startswith("lag")
    ]
    edges = np.array([0, *np.logspace(-3, np.log10(30), 50), np.inf])
    expected = np.cumsum(np.histogram(np.array(values) / 1000, edges)[0])
    assert [sample.value for sample in found if sample.name == "lag_bucket"] == list(expected)
    assert [float(sample.labels["le"]) for sample in found if sample.name == "lag_bucket"] == list(edges[1:])
    totals = {sample.name: sample.value for sample in found if sample.name != "lag_bucket"}
    assert totals == {"lag_count": 6.0, "lag_sum": pytest.approx(sum(values) / 1000)}


@pytest.mark.engine
@pytest.mark.parametrize("early", [True, False])
def test_metrics_of_a_batch_count_once(server: Server, index: Index, deployment: str, early: bool) -> None:
    """They are about the whole feedback: its first row has them, whichever comes first."""
    feedback = {"truth": {"data": {"ndarray": [1, 0, 1]}}, "metrics": [metric("hits", 3)]}
    if early:
        give(server, deployment, "r1", feedback)
        assert series_of(server, index, deployment, "hits") == {("hits_total", ""): 3.0}
        sender = Sender(server.url)
        assert sender.send(event("response", "r1", deployment), ndarray([1, 1, 1]))[0] == 200
    else:
        give(server, deployment, "r1", feedback, "", [1, 1, 1])
    assert series_of(server, index, deployment, "hits") == {("hits_total", ""): 3.0}
    assert index.count(index_of(deployment), {"exists": {"field": "metrics.counter__hits"}}) == 1
    assert index.count(index_of(deployment), {"exists": {"field": "metrics.correct"}}) == 3


@pytest.mark.engine
def test_feedback_with_nothing_but_metrics(server: Server, index: Index, deployment: str) -> None:
    """Neither a truth nor a response is needed, and it is no error."""
    give(server, deployment, "r1", {"metrics": [metric("hits", 1)]})
    give(server, deployment, "r2", {"metrics": [metric("hits", 1)]}, "", [1])
    assert series_of(server, index, deployment, "hits") == {("hits_total", ""): 2.0}
    assert index.count(index_of(deployment), {"exists": {"field": "metrics.unscorable"}}) == 0
    give(server, deployment, "r2", {"metrics": [metric("hits", 5)]})
    assert series_of(server, index, deployment, "hits") == {("hits_total", ""): 6.0}


@pytest.mark.engine
def test_class_of_a_user(make_server: Callable[..., Server], index: Index, deployment: str) -> None:
    """Its metrics are shown with their tags as they came, and those of the feedback are added."""
    server = make_server(METRICS_CACHE_SECONDS="0", SCORER="tests.scorers.legacy_classes.HitsByClass")
    for number, (truth, answer) in enumerate([(1, 1), (1, 0), (2, 2)]):
        feedback = {"truth": truth, "metrics": [metric("calls", 10)]}
        give(server, deployment, f"r{number}", feedback, "", [answer])
    found = {
        (sample.name, sample.labels.get("class", "")): sample.value
        for sample in samples(scrape(server, index).text)
        if sample.labels["deployment_name"] == deployment and "bucket" not in sample.name
    }
    assert found == {
        ("hits_total", "CLASS.1.0"): 1.0,
        ("hits_total", "CLASS.2.0"): 1.0,
        ("calls_total", ""): 39.0,
        ("error_rate", ""): 0.25,
        ("seconds_count", ""): 3.0,
        ("seconds_sum", ""): 0.0375,
    }
