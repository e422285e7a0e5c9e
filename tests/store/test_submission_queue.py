"""The queue before the writer: bounded, in order, and nobody sleeps while there is something to do."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.future import Future
from request_logger.store.writing.pending import Task
from request_logger.store.writing.submission_queue import SubmissionQueue

LONG = 20.0


def task(weight: int = 1) -> Task:
    plan: Any = None
    return Task(plan, Future(), weight, 0.0)


def later(do: Any) -> None:
    threading.Timer(0.05, do).start()


def test_bounds() -> None:
    """What is over the bound is refused until something is finished; a single one may be larger than it."""
    arrivals = SubmissionQueue(10)
    large, small = task(11), task(1)
    arrivals.put(large)
    with pytest.raises(StoreUnavailableError, match="too much"):
        arrivals.put(small)
    assert arrivals.take() == [large]
    assert arrivals.pending_bytes == 11
    arrivals.finished(large)
    tasks = [task(5), task(5)]
    for each in tasks:
        arrivals.put(each)
    assert (len(arrivals), arrivals.take(), len(arrivals)) == (2, tasks, 0)
    arrivals.close()
    with pytest.raises(StoreUnavailableError, match="shutting down"):
        arrivals.put(small)


@pytest.mark.parametrize("event", ["put", "wake", "close"])
@pytest.mark.parametrize("before", [True, False])
def test_a_wait_ends(event: str, before: bool) -> None:
    """By a task, a call or the end, whether they come before it or during it; and each of them once."""
    arrivals = SubmissionQueue(10)

    def happen() -> None:
        arrivals.put(task()) if event == "put" else getattr(arrivals, event)()

    happen() if before else later(happen)
    started = time.monotonic()
    arrivals.wait(LONG)
    assert time.monotonic() - started < LONG
    assert len(arrivals.take()) == (event == "put")
    started = time.monotonic()
    arrivals.wait(0.05)
    assert time.monotonic() - started >= 0.04


def test_lingering() -> None:
    """For so many, not for the first of them; or for so long."""
    arrivals = SubmissionQueue(10)
    arrivals.put(task())
    started = time.monotonic()
    arrivals.linger(3, 0.05)
    assert time.monotonic() - started >= 0.04
    arrivals.put(task())
    later(lambda: arrivals.put(task()))
    started = time.monotonic()
    arrivals.linger(3, LONG)
    assert time.monotonic() - started < LONG
    assert len(arrivals.take()) == 3


def test_nothing_is_forgotten() -> None:
    """Several threads put, one takes."""
    arrivals = SubmissionQueue(10**9)
    tasks = [[task() for _ in range(2000)] for _ in range(4)]
    threads = [threading.Thread(target=lambda mine=mine: [arrivals.put(each) for each in mine]) for mine in tasks]
    for thread in threads:
        thread.start()
    taken: list[Task] = []
    while len(taken) < 8000:
        arrivals.wait(LONG)
        arrivals.linger(10, 0.001)
        found = arrivals.take()
        assert found
        taken += found
    for thread, mine in zip(threads, tasks, strict=True):
        thread.join()
        members = {id(each) for each in mine}
        assert [each for each in taken if id(each) in members] == mine
