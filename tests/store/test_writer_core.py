"""The writer's core without threads: rounds are taken and answered by hand."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.documents.document import degrade
from request_logger.store.changes import Change, Plan, RejectedError
from request_logger.store.writing.core import WriterCore
from request_logger.store.writing.future import Future
from request_logger.store.writing.pending import Task
from request_logger.store.writing.ports import Limits, NullObserver
from request_logger.store.writing.rounds import Bulk, Failure, NoAnswer


def plan(*ids: str) -> Plan:
    """Store documents together."""
    yield [Change("index", id, lambda stored: {"text": 200 * "x"}) for id in ids]


def next_bulk(core: WriterCore, now: float) -> Bulk:
    """Prepare what is to be prepared, and return the next round."""
    found = core.next_round(now)
    for preparation in core.preparations(now):
        core.prepared(preparation.index, True, now)
        found = core.next_round(now)
    assert isinstance(found, Bulk)
    return found


@pytest.mark.parametrize("failure", [Failure.UNAVAILABLE, Failure.TOO_BUSY, Failure.REFUSED, Failure.UNREADABLE])
@pytest.mark.parametrize("is_alone", [True, False])
def test_a_document_whose_plan_has_failed_is_dropped_when_its_own_request_fails(
    failure: Failure, is_alone: bool
) -> None:
    """A plan has ended because of one document; the request of its other one ends without an answer, and is over."""
    core = WriterCore(degrade, NullObserver(), Limits(bulk_max_bytes=300 if is_alone else 600))
    end: Future[Any] = Future()
    core.start(Task(plan("a", "b") if is_alone else plan("a", "b", "c"), end, 1, 100.0))
    first, second = next_bulk(core, 0.0), next_bulk(core, 0.0)
    if not is_alone:
        first, second = second, first
    assert [len(first.documents), len(second.documents)] == [1, 1 if is_alone else 2]
    core.answered(first, NoAnswer(Failure.TOO_LARGE, "413"), 1.0)
    assert isinstance(end.exception(), RejectedError)
    core.answered(second, NoAnswer(failure, "no answer"), 1.0)
    assert len(core) == 0
    core.down_since = None
    assert core.next_round(50.0) is None
