"""The replay without threads: what is in a batch, and what becomes of its events."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from request_logger.documents.event import Event
from request_logger.spool import Spool
from request_logger.spool.replay import MOST_BATCHES, Replay
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.future import Future
from tests.spool.test_replayer import Late, Store, Told, left
from tests.test_spool import Ready, some


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def spool(tmp_path: Path, told: Told) -> Iterator[Spool]:
    spool = Spool(str(tmp_path), 2**20, told)
    spool.append_all([some(str(number)) for number in range(3)])
    yield spool
    spool.close()


def test_decoded_events_are_limited(spool: Spool, told: Told) -> None:
    """A batch ends before it holds more memory than allowed; an event that alone holds more is a batch of its own."""
    sizes = {"0": 400_000, "1": 700_000, "2": 2_000_000, "3": 1}
    spool.append(some("3"))
    store = Store()
    replay = Replay(spool, lambda event: Ready(store.submit, event, sizes[event.request_id]), told, 1_000_000)
    batches = []
    while replay.begin():
        batches.append(store.taken[sum(map(len, batches)) :])
        assert replay.is_full == (len(batches) < 4)
        replay.finish()
    assert batches == [["0"], ["1"], ["2"], ["3"]]
    assert spool.is_empty


def test_an_event_that_cannot_be_decoded_is_set_aside(spool: Spool, told: Told, tmp_path: Path) -> None:
    """It holds up no other event, wherever in its batch it is."""
    store = Store()

    def prepare(event: Event) -> Ready:
        if event.request_id == "1":
            raise KeyError("a defect")
        return Ready(store.submit, event)

    replay = Replay(spool, prepare, told, 2**20)
    assert replay.begin()
    replay.finish()
    assert store.taken == ["0", "2"]
    assert spool.is_empty
    assert len(list(tmp_path.glob("bad-*.bin"))) == 1


def test_events_that_find_no_room_are_the_next_batch(spool: Spool, told: Told) -> None:
    """The store's queue is full after the first of them: the others are submitted once it has room."""
    late = Late()

    def submit(event: Event) -> Future[Any]:
        if any(not future.done() for future in late.futures.values()):
            raise StoreUnavailableError("full")
        return late.submit(event)

    replay = Replay(spool, partial(Ready, submit), told, 2**20)
    for number in range(3):
        assert replay.begin()
        assert list(late.futures) == ["0", "1", "2"][: number + 1]
        assert not replay.is_done
        late.futures[str(number)].set_result(None)
        replay.finish()
    assert not replay.begin()
    assert spool.is_empty


def test_events_in_flight_are_limited(spool: Spool, told: Told) -> None:
    """With an engine that decides on nothing, the rest stays on disk."""
    spool.append_all([some(str(number)) for number in range(3, 2 * MOST_BATCHES + 10)])
    late = Late()
    replay = Replay(spool, partial(Ready, late.submit), told, 2**20, batch_events=2)
    while replay.begin():
        replay.finish()
    assert len(late.futures) == 2 * MOST_BATCHES
    assert replay.is_full
    for future in late.futures.values():
        future.set_result(None)
    replay.finish()
    assert replay.begin()
    assert len(left(spool)) == 10


def test_what_is_in_flight_in_one_lane_is_passed_over_in_the_other(spool: Spool, told: Told) -> None:
    """A second replay takes neither what the first one waits for, nor what comes after it."""
    late, store = Late(), Store()
    first = Replay(spool, partial(Ready, late.submit), told, 2**20, batch_events=2)
    assert first.begin()
    late.futures["0"].set_exception(StoreUnavailableError("not now"))
    first.finish()
    assert first.failed == 1
    second = Replay(spool, partial(Ready, store.submit), told, 2**20)
    assert second.begin(last=first.after, skip=first)
    second.finish()
    assert store.taken == ["0"]
    assert not second.is_full
    assert left(spool) == ["1", "2"]


def test_only_what_is_under_way_is_waited_for(spool: Spool, told: Told) -> None:
    """`wait` returns at once where everything has its result, and else waits for the first event without one."""
    ends: list[Future[Any]] = []

    def submit(event: Event) -> Future[Any]:
        ends.append(Future())
        return ends[-1]

    replay = Replay(spool, partial(Ready, submit), told, 2**20)
    assert replay.begin()
    ends[0].set_result(None)
    replay.wait(0.001)
    assert not replay.is_done
    for end in ends[1:]:
        end.set_result(None)
    replay.wait(60.0)
    assert replay.is_done
    replay.finish()
    assert spool.is_empty
