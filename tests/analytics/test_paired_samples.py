"""Which documents make a pair: by request id and row of a batch, or by equal input rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd
import pytest

from request_logger.analytics import paired_samples
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.paired_samples import Pairs, find_pairs
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Scope
from request_logger.store.changes import StoreUnavailableError

A, B = cast(Scope, "a"), cast(Scope, "b")


@dataclass(frozen=True)
class Stored:
    """A document: its id, request id (None: it has none), input row and value."""

    id: str
    request_id: str | None
    instance: Any
    value: float | None


class Runner:
    """Answers the queries of `find_pairs` from lists of documents, with no more than is asked for."""

    def __init__(self, a: list[Stored], b: list[Stored]) -> None:
        self._stored = {A: a, B: b}
        self.read: list[Scope] = []

    def sample(self, scope: Scope, body: dict[str, Any], seed: int) -> Any:
        (path,) = body["docvalue_fields"]
        chosen = self._stored[scope][: body["size"]]
        return {"hits": {"hits": [{"fields": {path: [each.request_id]}} if each.request_id else {} for each in chosen]}}

    def count(self, scope: Scope, query: Any) -> int:
        ((field, ids),) = query["terms"].items()
        assert field == "RequestId.keyword"
        return sum(each.request_id in ids for each in self._stored[scope])

    def scroll(self, scope: Scope, body: dict[str, Any], *only: Any) -> Iterator[dict[str, Any]]:
        self.read.append(scope)
        (path,) = body["docvalue_fields"]
        assert only == ({"exists": {"field": path}},)
        for each in self._stored[scope]:
            if each.value is None:
                continue
            source: dict[str, Any] = {}
            if "RequestId" in body["_source"] and each.request_id is not None:
                source["RequestId"] = each.request_id
            if "request.instance" in body["_source"] and each.instance is not None:
                source["request"] = {"instance": each.instance}
            yield {"_id": each.id, "_source": source, "fields": {path: [each.value]}}


def pairs_of(a: list[Stored], b: list[Stored], way: str = "auto") -> Pairs | None:
    return find_pairs(cast(QueryRunner, Runner(a, b)), A, B, "correct", way)


ONE = [
    Stored("r1", "r1", [1, 2], 0.5),
    Stored("r2-item-0", "r2", [3, 4], 1.0),
    Stored("r2-item-1", "r2", [5, 6], 2.0),
    Stored("r3", "r3", [1, 2], 3.0),
    Stored("r4", "r4", None, 4.0),
    Stored("r5", "r5", [7, 8], None),
    Stored("r6", None, [9], 6.0),
]
OTHER = [
    Stored("r2-item-1", "r2", [1, 2], 20.0),
    Stored("r2-item-0", "r2", [5, 6], 10.0),
    Stored("r1", "r1", [1, 2.5], 5.0),
    Stored("r4", "r4", [1, 2], 40.0),
    Stored("r5", "r5", [7, 8], 50.0),
    Stored("r6", None, None, 60.0),
    Stored("r9", "r9", [1, 2], 90.0),
]


@pytest.mark.parametrize("way", ["auto", "request"])
def test_by_request(way: str) -> None:
    """Equal request ids and rows; a document without a value on one side has no pair."""
    assert pairs_of(ONE, OTHER, way) == Pairs(
        "request", (0.5, 1.0, 2.0, 4.0, 6.0), (5.0, 10.0, 20.0, 40.0, 60.0), False, ("r1", "r2", "r2", "r4", "r6")
    )


def test_by_row() -> None:
    """Those that a merge of pandas finds: the n-th document with an input row is paired with the n-th of the other."""
    found = pairs_of(ONE, OTHER, "row")

    def frame(stored: list[Stored]) -> pd.DataFrame:
        rows = [(str(each.instance), each.value) for each in stored if each.value is not None and each.instance]
        made = pd.DataFrame(rows, columns=["row", "value"])
        return made.assign(nth=made.groupby("row").cumcount())

    expected = frame(ONE).merge(frame(OTHER), on=["row", "nth"])
    assert found is not None
    assert (found.way, found.cut) == ("row", False)
    assert sorted(zip(found.a, found.b, strict=True)) == sorted(
        zip(expected["value_x"], expected["value_y"], strict=True)
    )
    assert len(found.a) == 3


def test_no_pairs() -> None:
    """Nothing in common; and nothing is read where it is known beforehand."""
    strangers = [Stored("x", "x", [0], 1.0)]
    assert pairs_of(ONE, strangers, "request") is None
    assert pairs_of(ONE, strangers, "row") is None
    for a, way in ((ONE, "none"), (strangers, "auto"), ([], "auto"), ([Stored("r1", None, None, 1.0)], "auto")):
        runner = Runner(a, OTHER)
        assert find_pairs(cast(QueryRunner, runner), A, B, "correct", way) is None
        assert runner.read == []


def test_unknown_way() -> None:
    """The option is named, with what it can be."""
    with pytest.raises(BadQueryError, match=r"^--pair: expected auto, request, row, none, found 'both'$"):
        pairs_of(ONE, OTHER, "both")


@pytest.mark.parametrize(("most", "cut", "pairs"), [(7, False, 5), (6, False, 5), (5, True, 4)])
def test_a_bound_on_memory(monkeypatch: pytest.MonkeyPatch, most: int, cut: bool, pairs: int) -> None:
    """Beyond it documents are left out, and the result says so."""
    monkeypatch.setattr(paired_samples, "MOST_DOCUMENTS", most)
    found = pairs_of([each for each in ONE if each.value is not None], OTHER[:6], "request")
    assert found is not None
    assert (found.cut, len(found.a)) == (cut, pairs)
    found = pairs_of(OTHER[:6], [each for each in ONE if each.value is not None], "request")
    assert found is not None
    assert (found.cut, len(found.a)) == (cut, pairs)


def test_a_hit_without_its_value() -> None:
    """An answer that no engine should give is a failed query, not a wrong pair."""

    class Garbled(Runner):
        def scroll(self, scope: Scope, body: dict[str, Any], *only: Any) -> Iterator[dict[str, Any]]:
            yield {"_id": "r1", "_source": {}}

    with pytest.raises(StoreUnavailableError, match=r"a hit lacks metrics\.correct$"):
        find_pairs(cast(QueryRunner, Garbled(ONE, OTHER)), A, B, "correct", "request")


def test_ids_of_two_deployments() -> None:
    """In one index they have different ids for one request: the request's own id makes the pair."""
    found = pairs_of([Stored("r1~0123", "r1", [1], 1.0)], [Stored("r1", "r1", [1], 2.0)], "request")
    assert found == Pairs("request", (1.0,), (2.0,), False, ("r1",))
