"""A gateway refuses a whole request as a search engine does: what that costs the documents in it. No threads."""

from __future__ import annotations

import pytest

from request_logger.store.changes import Document
from request_logger.store.writing.core import MAX_DOUBTS, WriterCore
from request_logger.store.writing.rounds import Failure, NoAnswer
from tests.store.test_core_failures import DEADLINE, acknowledge, core_of, start, storing
from tests.store.test_writer_core import next_bulk

SCORED: Document = {
    "@timestamp": "2026-01-31T00:00:00Z",
    "request": {"ce-source": "x"},
    "feedback": {"reward": 1.0},
    "metrics": {"reward": 1.0},
}


def woken(core: WriterCore, now: float) -> float:
    """Return the end of a pause; now if there is none."""
    until = core.wake_at(now)
    return until if until < DEADLINE else now


def refuse_alone(core: WriterCore, id: str, now: float) -> tuple[Document, float]:
    """Refuse the next _bulk of one document as a whole; return what it would have stored, and when that was."""
    now = woken(core, now)
    bulk = next_bulk(core, now)
    (document,) = bulk.documents
    assert document.id == id
    wanted = document.wanted
    core.answered(bulk, NoAnswer(Failure.REFUSED, "the engine answered 400 to _bulk: x"), now)
    assert wanted is not None
    return wanted, now


@pytest.mark.parametrize("refusals", [MAX_DOUBTS, MAX_DOUBTS + 1])
def test_a_gateway_that_refuses_a_document_alone_costs_it_nothing(refusals: int) -> None:
    """The same form is sent again, after a pause; only one that is refused each time is degraded."""
    core = core_of()
    end = start(core, storing(("i", "a"), apply=lambda stored: stored or SCORED))
    now = 0.0
    for _ in range(refusals):
        refused, now = refuse_alone(core, "a", now)
        assert refused == SCORED
    now = woken(core, now)
    bulk = next_bulk(core, now)
    (document,) = bulk.documents
    assert (document.wanted == SCORED) == (refusals == MAX_DOUBTS)
    acknowledge(core, bulk, now)
    assert end.exception(0) is None
    assert now <= 0.3


def test_a_document_that_was_refused_alone_is_sent_alone_again() -> None:
    """Whatever refuses it would refuse the others with it."""
    core = core_of()
    ends = [start(core, storing(("i", "a")))]
    _, now = refuse_alone(core, "a", 0.0)
    ends += [start(core, storing(("i", id))) for id in "bc"]
    now += 1.0
    bulks = [next_bulk(core, now), next_bulk(core, now)]
    assert sorted([document.id for document in bulk.documents] for bulk in bulks) == [["a"], ["b", "c"]]
    for bulk in bulks:
        acknowledge(core, bulk, now)
    assert [end.exception(0) for end in ends] == [None] * 3
