"""The two lanes of a replay, without a thread: new events, and those that failed, whose retries may take long."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from request_logger.documents.event import Event
from request_logger.spool import Replayer, Spool
from request_logger.spool.lanes import Lanes
from request_logger.spool.replay import Replay
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.future import Future
from tests.spool.test_replayer import PATIENCE_SECONDS, Late, Store, Told, left
from tests.test_spool import Ready, some


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def spool(tmp_path: Path, told: Told) -> Iterator[Spool]:
    spool = Spool(str(tmp_path), 2**20, told)
    spool.append_all([some("0"), some("1")])
    yield spool
    spool.close()


def never_over() -> bool:
    return False


def test_a_retry_that_takes_long_stays_in_flight(spool: Spool, told: Told) -> None:
    """It is neither submitted twice nor forgotten, and new events go past it."""
    late, store = Late(), Store()
    tries: list[str] = []

    def submit(event: Event) -> Future[Any]:
        tries.append(event.request_id)
        if event.request_id != "0":
            return store.submit(event)
        future = late.submit(event)
        if tries.count("0") == 1:
            future.set_exception(StoreUnavailableError("not now"))
        return future

    lanes = Lanes(lambda: Replay(spool, partial(Ready, submit), told, 2**20))
    assert lanes.advance(never_over)
    assert tries == ["0", "1", "0"]
    assert not lanes.is_done
    spool.append(some("2"))
    assert lanes.advance(never_over)
    lanes.finish()
    assert left(spool) == ["0"]
    late.futures["0"].set_result(None)
    assert lanes.is_done
    lanes.finish()
    assert tries == ["0", "1", "0", "2"]
    assert left(spool) == []


def test_an_event_that_the_store_can_never_queue_is_set_aside(spool: Spool, told: Told, tmp_path: Path) -> None:
    """A defect of this program while it queues one event holds up no other."""
    store = Store()

    def submit(event: Event) -> Future[Any]:
        if event.request_id == "0":
            raise KeyError("a defect")
        return store.submit(event)

    lanes = Lanes(lambda: Replay(spool, partial(Ready, submit), told, 2**20))
    lanes.advance(never_over)
    assert store.taken == ["1"]
    assert left(spool) == []
    assert told.what == ["spool_bad"]
    assert len(list(tmp_path.glob("bad-*.bin"))) == 1


def drain(replayer: Replayer) -> bool:
    """Let a replayer whose thread has ended replay what is left, as the thread does at a stop."""
    replayer._drain_until = time.monotonic() + PATIENCE_SECONDS
    return replayer._drain()


def test_a_stop_ends_when_nothing_can_be_stored(spool: Spool, told: Told, tmp_path: Path) -> None:
    """It doesn't try for all of its time: what fails stays on disk."""
    store = Store()
    store.is_down = True
    replayer = Replayer(spool, str(tmp_path), partial(Ready, store.submit), store.down, told)
    replayer.close()
    assert store.taken == []
    store.is_down = False
    store.fails = lambda name: StoreUnavailableError("not now")
    assert drain(replayer)
    assert set(store.taken) == {"0", "1"}
    assert left(spool) == ["0", "1"]


def test_a_stop_waits_for_what_is_in_flight(spool: Spool, told: Told, tmp_path: Path) -> None:
    """It ends once the store has taken all events."""
    late = Late()
    is_down = [True]
    replayer = Replayer(spool, str(tmp_path), partial(Ready, late.submit), lambda: is_down[-1], told)
    replayer.close()
    is_down.append(False)
    refresh = spool.refresh

    def stored_meanwhile() -> None:
        for future in late.futures.values():
            future.set_result(None)
        refresh()

    spool.refresh = stored_meanwhile  # type: ignore[method-assign]
    assert drain(replayer)
    assert list(late.futures) == ["0", "1"]
    assert left(spool) == []


def test_a_stop_waits_for_the_lock(spool: Spool, told: Told, tmp_path: Path) -> None:
    """Another process may stop as well, and leave what this one has appended."""
    store = Store()
    store.is_down = True
    replayer = Replayer(spool, str(tmp_path), partial(Ready, store.submit), store.down, told)
    replayer.close()
    store.is_down = False
    others = [os.open(tmp_path / "replay.lock", os.O_RDWR | os.O_CREAT, 0o600)]
    fcntl.flock(others[0], fcntl.LOCK_EX)
    refresh, looks = spool.refresh, []

    def released_at_the_second_look() -> None:
        looks.append(list(store.taken))
        if len(looks) > 1 and others:
            os.close(others.pop())
        refresh()

    spool.refresh = released_at_the_second_look  # type: ignore[method-assign]
    assert drain(replayer)
    assert looks[:2] == [[], []]
    assert store.taken == ["0", "1"]
    assert left(spool) == []
