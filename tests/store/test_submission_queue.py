"""The queue before the writer: bounded, in order, and nobody sleeps while there is something to do."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.future import Future
from request_logger.store.writing.pending import Task
from request_logger.store.writing.submission_queue import SubmissionQueue, WaitEnd

LONG = 20.0


def task(weight: int = 1, linger: float = 0.0) -> Task:
    plan: Any = None
    return Task(plan, Future(), weight, 0.0, time.monotonic() + linger)


def put(arrivals: SubmissionQueue, each: Task) -> None:
    arrivals.put(each, time.monotonic())


def wait(arrivals: SubmissionQueue, seconds: float, **more: bool) -> WaitEnd:
    return arrivals.wait(time.monotonic() + seconds, **more)


def later(do: Any) -> None:
    threading.Timer(0.05, do).start()


def test_bounds() -> None:
    """What is over the bound is refused until something is finished; a single one may be larger than it."""
    arrivals = SubmissionQueue(10, 10)
    large, small = task(11), task(1)
    put(arrivals, large)
    with pytest.raises(StoreUnavailableError, match="too much"):
        put(arrivals, small)
    assert arrivals.take() == [large]
    assert arrivals.pending_bytes == 11
    arrivals.finished(large)
    tasks = [task(5), task(5)]
    for each in tasks:
        put(arrivals, each)
    assert (len(arrivals), arrivals.take(), len(arrivals)) == (2, tasks, 0)
    arrivals.close()
    with pytest.raises(StoreUnavailableError, match="shutting down"):
        put(arrivals, small)


@pytest.mark.parametrize("event", ["put", "wake", "close"])
@pytest.mark.parametrize("before", [True, False])
def test_a_wait_ends(event: str, before: bool) -> None:
    """By a task, a call or the end, whether they come before it or during it; a call and the end once."""
    arrivals = SubmissionQueue(10, 10)

    def happen() -> None:
        put(arrivals, task()) if event == "put" else getattr(arrivals, event)()

    happen() if before else later(happen)
    started = time.monotonic()
    assert wait(arrivals, LONG) is (WaitEnd.TIME if event == "put" else WaitEnd.WOKEN)
    assert time.monotonic() - started < LONG
    assert len(arrivals.take()) == (event == "put")
    started = time.monotonic()
    assert wait(arrivals, 0.05) is WaitEnd.TIME
    assert time.monotonic() - started >= 0.04


def taught(senders: int) -> SubmissionQueue:
    """Return a queue that has learned how many events its senders have in flight at once."""
    arrivals = SubmissionQueue(10**9, 10**9)
    for _ in range(senders):
        put(arrivals, task(linger=LONG))
    for each in arrivals.take():
        arrivals.finished(each)
    return arrivals


def test_tasks_wait_for_others() -> None:
    """Until as many are there as senders can have in flight, or one has waited for as long as it may."""
    arrivals = taught(3)
    put(arrivals, task(linger=LONG))
    put(arrivals, task(linger=0.1))
    started = time.monotonic()
    assert wait(arrivals, LONG) is WaitEnd.TIME
    assert time.monotonic() - started >= 0.09
    arrivals = taught(3)
    put(arrivals, task(linger=LONG))
    put(arrivals, task(linger=LONG))
    started = time.monotonic()
    later(lambda: put(arrivals, task(linger=LONG)))
    assert wait(arrivals, 2 * LONG) is WaitEnd.TIME
    assert time.monotonic() - started < LONG
    assert len(arrivals.take()) == 3


@pytest.mark.parametrize("reason", ["wake", "close", "no lingering"])
def test_a_wait_for_others_is_cut_short(reason: str) -> None:
    """By other work, by the end, and where the search engine is down; the tasks are there then."""
    arrivals = taught(3)
    put(arrivals, task(linger=LONG))
    if reason != "no lingering":
        later(getattr(arrivals, reason))
    started = time.monotonic()
    wait(arrivals, LONG, lingers=reason != "no lingering")
    assert time.monotonic() - started < LONG / 2
    if reason == "close":
        assert wait(arrivals, LONG) is WaitEnd.TIME
        assert time.monotonic() - started < LONG / 2
    assert len(arrivals.take()) == 1


def test_nothing_is_forgotten() -> None:
    """Several threads put, one takes."""
    arrivals = SubmissionQueue(10**9, 10**9)
    tasks = [[task(linger=0.001) for _ in range(2000)] for _ in range(4)]
    threads = [threading.Thread(target=lambda mine=mine: [put(arrivals, each) for each in mine]) for mine in tasks]
    for thread in threads:
        thread.start()
    taken: list[Task] = []
    while len(taken) < 8000:
        wait(arrivals, LONG)
        found = arrivals.take()
        assert found
        taken += found
    for thread, mine in zip(threads, tasks, strict=True):
        thread.join()
        members = {id(each) for each in mine}
        assert [each for each in taken if id(each) in members] == mine
