"""Counts as one request, samples of known size, and the sums that moments have: without a search engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.rollups import Moments, aggregation_body, read
from request_logger.analytics.scope import Scope
from request_logger.analytics.selection import exists
from request_logger.store.changes import StoreUnavailableError
from scorers.base import Count, Sum

SCOPE = Scope("some-*")
SHARDS = {"_shards": {"total": 1, "successful": 1, "failed": 0}, "timed_out": False}


class Engine:
    """Answers searches by their query's field: ``totals``; those in ``failing`` fail in a _msearch."""

    def __init__(self, totals: Mapping[str, int], failing: str = "", hits: tuple[int, int] = (0, 0)) -> None:
        self.totals = totals
        self.failing = failing
        self.hits = hits
        self.bodies: list[Any] = []
        self.paths: list[str] = []

    def request(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        self.paths.append(path)
        if path == "/_msearch":
            bodies = [json.loads(line) for line in body.splitlines()[1::2]]
            return 200, {"responses": [self.answer(each, is_alone=False) for each in bodies]}
        self.bodies.append(body)
        return 200, self.answer(body, is_alone=True)

    def answer(self, body: Any, *, is_alone: bool) -> Any:
        if "function_score" in body["query"]:
            count = self.hits["min_score" not in body]
            return {**SHARDS, "hits": {"hits": [{"fields": {}}] * count}}
        field = body["query"]["bool"]["filter"][0]["exists"]["field"]
        if field == self.failing and not is_alone:
            return {"status": 503, "error": {"type": "search_phase_execution_exception", "reason": "away"}}
        return {"status": 200, **SHARDS, "hits": {"total": {"value": self.totals[field]}, "hits": []}}


@pytest.mark.parametrize("failing", ["", "b"])
def test_counts(failing: str) -> None:
    """One request has all; a query that failed is asked again alone, where indices that fail are left out."""
    engine = Engine({"a": 3, "b": 2}, failing)
    assert QueryRunner(engine).counts(SCOPE, {name: exists(name) for name in "ab"}) == {"a": 3, "b": 2}
    assert engine.paths == ["/_msearch", *(["/some-*/_search"] if failing else [])]


def test_a_malformed_answer_to_counts() -> None:
    """It is no number."""
    engine = Engine({})
    engine.request = lambda *_, **__: (200, {"responses": []})  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailableError):
        QueryRunner(engine).counts(SCOPE, {"a": exists("a")})


@pytest.mark.parametrize(
    ("total", "hits", "searches"),
    [(1_000_000, (100, 0), 1), (1_000_000, (99, 100), 2), (None, (0, 100), 1), (150, (0, 100), 1)],
)
def test_a_sample_of_many(total: int | None, hits: tuple[int, int], searches: int) -> None:
    """Of a known number most are left out by their score; where too few are left, all are searched."""
    engine = Engine({}, hits=hits)
    found = QueryRunner(engine).sample(SCOPE, {"size": 100}, 1, total=total)
    assert len(found["hits"]["hits"]) == 100
    assert len(engine.bodies) == searches
    if searches == 2 or hits[0]:
        assert engine.bodies[0]["min_score"] == pytest.approx(1 - 160 / 1_000_000)


def test_moments_have_the_sum_and_the_count() -> None:
    """A field with moments has no other aggregation, other fields have theirs."""
    asked = [Sum("x"), Count("x"), Moments("x"), Sum("y"), Count("")]
    assert sorted(aggregation_body(asked)) == ["count_documents", "moments_x", "sum_y"]
    moments = {"count": 2, "sum": 3.0, "sum_of_squares": 5.0, "min": 1.0, "max": 2.0}
    found = read(asked, {"moments_x": moments, "sum_y": {"value": 7.0}, "count_documents": {"value": 9}})
    assert (found[Sum("x")], found[Count("x")], found[Sum("y")], found[Count("")]) == (3.0, 2, 7.0, 9)
