"""Stored baselines: the first writer wins, and an engine that refuses or garbles them loses no look."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.analytics.drift.baselines import Baseline, Cells, Counts, Kind
from request_logger.analytics.drift.stored_baselines import StoredBaselines
from request_logger.store.changes import StoreUnavailableError
from tests.analytics.stored import engine_at
from tests.helpers import Index

FIELD = "request.elements.x"


def baseline(low: float) -> Baseline:
    return Baseline(Cells(FIELD, Kind.NUMBER, (0.5,), low, 1.0), Counts(9, 8, 0, (3, 5), 0, 0), "2026-01-01T00:00:00Z")


class Answering:
    """An engine with the same answer to every request."""

    def __init__(self, status: int, answer: Any) -> None:
        self.answer = status, answer

    def request(self, method: str, path: str, body: Any = None, params: Any = None) -> tuple[int, Any]:
        return self.answer


@pytest.mark.engine
def test_the_first_writer_wins(engine: Any, deployment: str, index: Index) -> None:
    stored = StoredBaselines(engine_at(engine.url), deployment, "reference")
    assert stored.read([FIELD]) == {}
    assert stored.add({FIELD: baseline(0.0)}) == ""
    assert stored.add({FIELD: baseline(-1.0)}) == ""
    assert stored.read([FIELD, "other"]) == {FIELD: baseline(0.0)}
    assert StoredBaselines(engine_at(engine.url), deployment, "2026-01-01..2026-02-01").read([FIELD]) == {}
    assert stored.replace({FIELD: baseline(-1.0)}) == ""
    assert stored.read([FIELD]) == {FIELD: baseline(-1.0)}


LACKS = "no permissions for [a/b] and User [name=x]"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (403, {"error": {"root_cause": [{"type": "security_exception", "reason": LACKS}]}}),
        (200, {"items": [{"create": {"status": 403, "error": {"type": "block", "reason": "no permissions"}}}]}),
        (200, "a proxy's page"),
        (500, None),
    ],
)
def test_what_is_refused_is_told(status: int, answer: Any) -> None:
    """The reason is one line; nothing is raised, since the look has its cells."""
    told = StoredBaselines(Answering(status, answer), "d", "reference").add({FIELD: baseline(0.0)})
    assert told and len(told.splitlines()) == 1
    assert "no permissions" in told or "the user lacks the privilege a/b" in told or "permissions" not in str(answer)
    assert StoredBaselines(Answering(status, answer), "d", "reference").add({}) == ""


def test_what_can_not_be_read() -> None:
    """An answer of another shape is no baseline, a damaged one counts as missing."""
    for status, answer in ((500, {}), (200, []), (200, {"docs": []})):
        with pytest.raises(StoreUnavailableError):
            StoredBaselines(Answering(status, answer), "d", "reference").read([FIELD])
    for found in (None, 1, {}, {"_source": {"field": FIELD}}, {"_source": {"field": FIELD, "baseline": {"cells": 1}}}):
        assert StoredBaselines(Answering(200, {"docs": [found]}), "d", "reference").read([FIELD]) == {}
    assert StoredBaselines(Answering(404, {}), "d", "reference").read([FIELD]) == {}
