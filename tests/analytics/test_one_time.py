"""Many classes are counted as of one time, on a real engine, while every document changes between two pages."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.rollups import from_needs, needs_of
from request_logger.analytics.scope import Scope
from request_logger.scoring.registry import build
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from scorers.base import Terms
from tests.analytics.stored import START, document, engine_at, stamp, store

pytestmark = pytest.mark.engine

N, CLASSES = 120, 40
SCORER = build("multiclass", {})


def documents(turn: int) -> list[dict[str, Any]]:
    """All pairs; each turn moves every truth and every prediction to another class, half of them right."""
    made = []
    for k in range(N):
        truth = f"c{(k * 7 + turn * 13) % CLASSES:02}"
        said = truth if k % 2 else f"c{(k + turn * 5 + 1) % CLASSES:02}"
        scored_at = stamp(START + timedelta(seconds=turn))
        made.append(document(SCORER, truth, said, request_id=f"r{k}", scored_at=scored_at))
    return made


@pytest.fixture(scope="module")
def client(engine: Any) -> SearchEngine:
    return engine_at(engine.url)


@pytest.fixture
def index(client: SearchEngine) -> Iterator[str]:
    name = f"t-{uuid.uuid4().hex[:10]}"
    store(client, name, documents(0))
    yield name
    client.request("DELETE", f"/{name}")


class Changing:
    """The engine, in which all documents change after each page, ``turns`` times."""

    def __init__(self, client: SearchEngine, index: str, turns: int, *, refuses: bool) -> None:
        self._client, self._index, self._turns, self._refuses = client, index, turns, refuses
        self.turn = 0

    def request(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        if self._refuses and ("_pit" in path or "point_in_time" in path):
            return 405, {"error": "no handler"}
        found = self._client.request(method, path, body, params=params)
        if "composite" in repr(body) and self.turn < self._turns:
            self.turn += 1
            store(self._client, self._index, documents(self.turn))
        return found


@pytest.fixture
def in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("request_logger.analytics.rollups.TERMS_SIZE", 5)
    monkeypatch.setattr(QueryRunner.pages, "__kwdefaults__", {"size": 7, "most": None})


@pytest.mark.parametrize("refuses", [False, True], ids=["as it is", "without points in time"])
def test_all_counts_are_of_one_time(client: SearchEngine, index: str, in_pages: None, *, refuses: bool) -> None:
    """Each document counts once, in the table by class, in the matrix and in the accuracy."""
    engine = Changing(client, index, 9, refuses=refuses)
    found = from_needs(SCORER, QueryRunner(engine).fetch(Scope(index), needs_of(SCORER)))
    rows = found["per_class"]
    assert isinstance(rows, dict)
    assert engine.turn > 0
    assert sum(row["support"] for row in rows.values()) == N
    assert sum(row["true_positive"] for row in rows.values()) / N == found["accuracy"] == found["f1_micro"]
    matrix = found["confusion_matrix"]
    assert isinstance(matrix, dict)
    assert {truth: sum(row.values()) for truth, row in matrix.items()} == {
        truth: row["support"] for truth, row in rows.items() if row["support"]
    }
    assert isinstance(found["accuracy"], float) and found["accuracy"] >= 0.5


def test_documents_that_never_rest(client: SearchEngine, index: str, in_pages: None) -> None:
    """Without points in time there is no figure rather than a wrong one, and the reason says what helps."""
    engine = Changing(client, index, 10_000, refuses=True)
    with pytest.raises(StoreUnavailableError, match="a time span that has ended"):
        QueryRunner(engine).fetch(Scope(index), [Terms("truth_label")])
