"""Answers of the engine that are none: one line that names the field, never an error of Python's."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.analytics.compare import Comparison, compare
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.quality_gate import Condition, QualityError, check
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.report import Options, make_report
from request_logger.analytics.rollups import Moments, aggregation_body
from request_logger.analytics.scope import Scope
from request_logger.analytics.selection import Selection
from request_logger.jobs.export import Export
from request_logger.metrics_server.exporter import Exporter
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.scan import Scan, ScanError
from request_logger.store.search_answers import check_aggregations, check_documents
from scorers.base import Count, Sum, SumBy, Terms, TermsBy
from tests.store.engine_double import EngineDouble

WRONG: list[Any] = [
    None,
    [],
    "<html>busy</html>",
    5,
    {},
    {"hits": None},
    {"hits": []},
    {"hits": {}},
    {"hits": {"hits": {}}},
    {"hits": {"hits": [None]}},
    {"hits": {"hits": [{}]}, "_shards": {"total": 1, "successful": 1}},
    {"hits": {"hits": []}, "_shards": {"total": 1, "successful": 1}},
    {"hits": {"hits": []}, "_shards": [], "aggregations": []},
    {"hits": {"hits": [], "total": 3}, "aggregations": {}},
    {"hits": {"hits": [], "total": {"value": "x"}}, "aggregations": {"predictions": {"doc_count": "many"}}},
    {"error": "no"},
    {"_shards": {"failed": 1, "failures": 5}},
    {"responses": None},
    {"responses": [None] * 5},
    {"responses": [{"hits": {"hits": []}, "aggregations": {"series": {"buckets": [{}]}}}] * 5},
    {"pit_id": "x", "id": "x"},
    {"fields": 5},
]


def ask_everything(engine: Any) -> list[str]:
    """Put each kind of question, and return the errors' texts. Any other error than the documented ones is raised."""
    settings = Settings()
    accuracy = [Condition.of("accuracy=0.5", is_maximum=False)]

    def read() -> None:
        with Scan(engine, "/inference-log-*", {"match_all": {}}) as scan:
            list(islice(scan.pages(), 5))

    questions = [
        lambda: make_report(engine, settings, Options()),
        lambda: make_report(engine, settings, Options(by="model", start="now-7d")),
        lambda: compare(engine, settings, Comparison("a", "b")),
        lambda: check(engine, settings, Selection(), accuracy, minimum=1),
        lambda: Exporter(engine, settings).exposition(),
        lambda: list(islice(QueryRunner(engine).scroll(Scope("inference-log-*"), {}), 5)),
        lambda: Export(engine, settings, Selection()).table(),
        read,
    ]
    said = []
    for question in questions:
        try:
            with patch("request_logger.store.excluded_indices._PAUSES", (0.0,)):
                question()
        except (StoreUnavailableError, BadQueryError, QualityError, ScanError) as error:
            said.append(str(error))
    return said


@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500, 502, 503])
@pytest.mark.parametrize("answer", WRONG)
def test_wrong_answers(status: int, answer: Any) -> None:
    """Whatever the status, it is one line of a documented error."""
    said = ask_everything(EngineDouble(lambda *_: (status, answer)))
    assert said
    assert all(text and len(text.splitlines()) == 1 for text in said)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["hits", "total", "value", "aggregations", "_shards", "failures", "error", "pages", "buckets", "key"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(JSON, st.sampled_from([200, 400, 500]))
def test_answers_of_any_shape(answer: Any, status: int) -> None:
    """Whatever is built of an answer's words."""
    ask_everything(EngineDouble(lambda *_: (status, answer)))


QUESTIONS = [Count(None), Sum("x"), Terms("label"), TermsBy("a", "b"), SumBy(("x",), "bin"), Moments("y")]
RIGHT: dict[str, Any] = {
    "count_documents": {"value": 1},
    "sum_x": {"value": None},
    "terms_label": {"buckets": [{"key": "a", "doc_count": 1}]},
    "terms_a_by_b": {"buckets": [{"key": "b", "doc_count": 1, "values": {"buckets": [{"key": 1, "doc_count": 1}]}}]},
    "sum_x_by_bin": {"buckets": [{"key": 3, "doc_count": 1, "x": {"value": 0.5}}]},
    "moments_y": {"count": 0, "sum": None, "sum_of_squares": None, "min": None, "max": None},
}


def test_right_aggregations_pass() -> None:
    """What engines answer is not refused."""
    assert check_aggregations(aggregation_body(QUESTIONS), {"aggregations": RIGHT}) == RIGHT
    assert check_aggregations(aggregation_body(QUESTIONS), {"_shards": {"total": 0}}) == {}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("count_documents", {}),
        ("count_documents", {"value": "1"}),
        ("sum_x", {"value": True}),
        ("terms_label", {"buckets": {}}),
        ("terms_label", {"buckets": [{"key": "a"}]}),
        ("terms_label", {"buckets": [{"doc_count": 1}]}),
        ("terms_a_by_b", {"buckets": [{"key": "b", "doc_count": 1}]}),
        ("sum_x_by_bin", {"buckets": [{"key": 3, "doc_count": 1, "x": None}]}),
        ("moments_y", {"count": 0}),
        ("moments_y", None),
    ],
)
def test_wrong_aggregations(name: str, wrong: Any) -> None:
    """Each kind of aggregation, wrong in one place."""
    with pytest.raises(StoreUnavailableError, match="the engine's answer to a search can't be used: "):
        check_aggregations(aggregation_body(QUESTIONS), {"aggregations": {**RIGHT, name: wrong}})


def test_numbers_beyond_the_range_of_doubles() -> None:
    """Engines answer them as text; other text is no number."""
    moments = {"count": 2, "sum": 1e200, "sum_of_squares": "Infinity", "min": -1e200, "max": 1e200}
    answer = {**RIGHT, "moments_y": moments, "sum_x": {"value": "-Infinity"}}
    found = check_aggregations(aggregation_body(QUESTIONS), {"aggregations": answer})
    assert (found["moments_y"]["sum_of_squares"], found["sum_x"]["value"]) == (math.inf, -math.inf)


@pytest.mark.parametrize("hit", [{}, {"_index": "i", "_id": 5, "sort": [1]}, {"_index": "i", "_id": "a", "sort": []},
                                 {"_index": "i", "_id": "a", "sort": [1], "_source": []}])  # fmt: skip
def test_wrong_documents(hit: Any) -> None:
    """A document is its index, its id and its place in the order."""
    with pytest.raises(StoreUnavailableError):
        check_documents({"hits": {"hits": [hit]}})


HIT = {"_source": {"a": 1}, "sort": [1]}
OTHER_ASKED: dict[str, Any] = {
    "some": {"filter": {"match_all": {}}, "aggs": {"sum_x": {"sum": {"field": "x"}}}},
    "series": {"composite": {"sources": [{"label": {}}, {"model": {}}]}, "aggs": {"n": {"value_count": {}}}},
    "latest": {"top_hits": {"size": 1}, "meta": {}},
    "spread": {"percentiles": {"field": "x"}},
    "of_a_plugin": {"matrix_stats": {}},
}
OTHER_RIGHT: dict[str, Any] = {
    "some": {"doc_count": 1, "sum_x": {"value": 1.5}},
    "series": {
        "after_key": {"label": "a", "model": "m"},
        "buckets": [{"key": {"label": "a", "model": "m"}, "doc_count": 1, "n": {"value": 1}}],
    },
    "latest": {"hits": {"hits": [HIT]}},
    "spread": {"values": {"50.0": None}},
    "of_a_plugin": {"anything": 1},
}


@pytest.mark.parametrize(
    "series", [OTHER_RIGHT["series"], {"buckets": []}, {**OTHER_RIGHT["series"], "after_key": None}]
)
def test_other_right_aggregations_pass(series: Any) -> None:
    """Also the last page of a series; of a kind that isn't known nothing is expected."""
    answer = {"aggregations": {**OTHER_RIGHT, "series": series}}
    assert check_aggregations(OTHER_ASKED, answer) == answer["aggregations"]


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("some", {"doc_count": "1", "sum_x": {"value": 1}}, "doc_count of some: expected a whole number, found text"),
        ("some", {"doc_count": 1}, "the aggregation sum_x: expected an object, found nothing"),
        ("series", {"buckets": [{"key": "a", "doc_count": 1}]}, "key of series: expected an object, found text"),
        (
            "series",
            {"buckets": [{"key": {"label": "a"}, "doc_count": 1}]},
            "key of series: expected the value of model",
        ),
        ("series", {**OTHER_RIGHT["series"], "after_key": "a"}, "after_key of series: expected an object, found text"),
        ("latest", {"hits": {"hits": [{"sort": [1]}]}}, "_source of latest: expected an object, found nothing"),
        ("latest", {"hits": {"hits": [{"_source": {}}]}}, "sort of latest: expected a list, found nothing"),
        ("spread", {"values": [1]}, "values of spread: expected an object, found a list"),
        ("of_a_plugin", True, "the aggregation of_a_plugin: expected an object, found a boolean"),
        ("series", {"buckets": 1}, "buckets of series: expected a list, found a number"),
    ],
)
def test_other_wrong_aggregations(name: str, wrong: Any, said: str) -> None:
    """The error says what was expected where."""
    with pytest.raises(StoreUnavailableError) as caught:
        check_aggregations(OTHER_ASKED, {"aggregations": {**OTHER_RIGHT, name: wrong}})
    assert str(caught.value).startswith(f"the engine's answer to a search can't be used: {said}")


def test_aggregations_that_are_left_out() -> None:
    """Where shards were asked there is an answer, unless nothing was asked for."""
    with pytest.raises(StoreUnavailableError, match="aggregations: expected an object, found nothing"):
        check_aggregations(OTHER_ASKED, {"_shards": {"total": 1}})
    assert check_aggregations({}, {"_shards": {"total": 1}}) == {}
