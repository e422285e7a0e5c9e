"""The writer's core without threads: rounds are taken and answered by hand."""

from __future__ import annotations

import math
import random
import weakref
from typing import Any

import pytest

from request_logger.documents.document import degrade
from request_logger.store.changes import Change, Plan, RejectedError
from request_logger.store.writing.bulk import Outcome
from request_logger.store.writing.core import WriterCore
from request_logger.store.writing.future import Future
from request_logger.store.writing.pending import Task
from request_logger.store.writing.ports import Limits, NullObserver
from request_logger.store.writing.rounds import Bulk, Failure, NoAnswer
from request_logger.store.writing.states import Kind


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


class _Event:
    """What the future of a plan holds."""


def test_what_an_ended_plan_held_is_free_while_earlier_plans_wait() -> None:
    """Its memory has been given back to the budget: it must not stay behind a plan that waits for a slow index."""
    core = WriterCore(degrade, NullObserver(), Limits(bulk_max_bytes=300))
    core.start(Task(plan("waits"), Future(), 1, 100.0))
    waiting = next_bulk(core, 0.0)
    event = _Event()
    is_held = weakref.ref(event)
    core.start(Task(plan("ends"), Future(lambda end, event=event: None), 1, 101.0))
    del event
    assert is_held() is not None
    found = next_bulk(core, 0.0)
    core.answered(found, [Outcome(Kind.DONE, (1, 1)) for _ in found.documents], 1.0)
    assert is_held() is None
    assert core.wake_at(50.0) == 100.0
    core.answered(waiting, [Outcome(Kind.DONE, (1, 1)) for _ in waiting.documents], 1.0)
    assert core.wake_at(50.0) == math.inf


def test_after_many_conflicts_a_document_is_retried_after_growing_pauses() -> None:
    """Other writers may be first some times in a row; without pauses, all of them would only disturb each other."""
    core = WriterCore(degrade, NullObserver(), Limits(), rng=random.Random(1))
    end: Future[Any] = Future()
    core.start(Task(plan("a"), end, 1, 1000.0))
    now, at_once, pauses = 0.0, 0, []
    found = next_bulk(core, now)
    for _ in range(20):
        core.answered(found, [Outcome(Kind.CONFLICT, reason="version_conflict_engine_exception: ...")], now)
        again = core.next_round(now)
        if again is None:
            pauses.append(core.wake_at(now) - now)
            now = core.wake_at(now) + 0.001
            again = core.next_round(now)
        else:
            at_once += 1
        assert isinstance(again, Bulk)
        found = again
    assert at_once == 8
    assert len(pauses) == 12
    assert max(pauses) > 0.5
    core.answered(found, [Outcome(Kind.DONE, (1, 1))], now)
    assert end.done()
