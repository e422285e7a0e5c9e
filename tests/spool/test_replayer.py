"""The thread that gives the spool's events to the store: when it does, and when it leaves them where they are."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from request_logger.documents.event import Event
from request_logger.spool import Replayer, Spool
from request_logger.spool.observer import NullObserver
from request_logger.spool.replay import Replay
from request_logger.store.changes import RejectedError, StoreUnavailableError
from request_logger.store.writing.future import Future
from tests.test_spool import some

PATIENCE_SECONDS = 60.0


class Store:
    """Takes events; what ``fails`` returns for one is what its future ends with."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.fails: Callable[[str], Exception | None] = lambda name: None
        self.looks = 0
        self.is_down = False

    def submit(self, event: Event) -> Future[Any]:
        self.taken.append(event.request_id)
        failure = self.fails(event.request_id)
        future: Future[Any] = Future()
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)
        return future

    def down(self) -> bool:
        self.looks += 1
        return self.is_down


class Told(NullObserver):
    """Keeps what happens."""

    def __init__(self) -> None:
        self.what: list[str] = []

    def happened(self, what: str, index: str, reason: str) -> None:
        self.what.append(what)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def spool(tmp_path: Path, told: Told) -> Iterator[Spool]:
    spool = Spool(str(tmp_path), 2**20, told)
    spool.append_all([some(str(number)) for number in range(3)])
    yield spool
    spool.close()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def start(spool: Spool, store: Store, told: Told, tmp_path: Path) -> Iterator[Callable[[], Replayer]]:
    begun: list[Replayer] = []

    def begin() -> Replayer:
        begun.append(Replayer(spool, str(tmp_path), store.submit, store.down, told))
        return begun[-1]

    yield begin
    for replayer in begun:
        replayer.close()


def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_all_events_leave_the_spool_in_their_order(spool: Spool, store: Store, start: Callable[[], Replayer]) -> None:
    """What the store has taken is removed."""
    start()
    until(lambda: spool.is_empty)
    assert store.taken == ["0", "1", "2"]


def test_nothing_is_given_to_an_engine_that_is_down(spool: Spool, store: Store, start: Callable[[], Replayer]) -> None:
    """It looks again, and gives all events to the store once the engine answers."""
    store.is_down = True
    start()
    until(lambda: store.looks > 1)
    assert store.taken == []
    store.is_down = False
    until(lambda: spool.is_empty)


def test_only_one_process_replays(spool: Spool, store: Store, start: Callable[[], Replayer], tmp_path: Path) -> None:
    """While another process holds the lock nothing is replayed; it takes over when that ends."""
    other = os.open(tmp_path / "replay.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(other, fcntl.LOCK_EX)
    start()
    until(lambda: store.looks > 1)
    assert store.taken == []
    os.close(other)
    until(lambda: spool.is_empty)


def test_what_the_store_does_not_take_is_given_again(spool: Spool, store: Store, start: Callable[[], Replayer]) -> None:
    """One event that fails holds up no other, and stays in the spool until it is stored."""
    store.fails = lambda name: StoreUnavailableError("later") if name == "1" and store.taken.count("1") < 2 else None
    start()
    until(lambda: spool.is_empty)
    assert sorted(store.taken) == ["0", "1", "1", "2"]


def test_what_can_never_be_stored_is_set_aside(
    spool: Spool, store: Store, told: Told, start: Callable[[], Replayer], tmp_path: Path
) -> None:
    """It goes into a file of its own, and the others are stored."""
    store.fails = lambda name: RejectedError("never") if name == "1" else None
    start()
    # It is told after the spool is empty.
    until(lambda: bool(told.what))
    assert told.what == ["spool_bad"]
    assert spool.is_empty
    assert len(list(tmp_path.glob("bad-*.bin"))) == 1


def test_an_empty_spool_is_looked_at_again(tmp_path: Path, told: Told, store: Store) -> None:
    """Another process may have filled it; nothing else is done meanwhile."""
    spool = Spool(str(tmp_path), 2**20, told)
    looks: list[None] = []
    refresh = spool.refresh

    def noted() -> None:
        looks.append(None)
        refresh()

    spool.refresh = noted  # type: ignore[method-assign]
    replayer = Replayer(spool, str(tmp_path), store.submit, store.down, told)
    until(lambda: len(looks) > 1)
    assert store.looks == 0
    # What another process writes does not change this one's totals before it looks.
    other = Spool(str(tmp_path), 2**20, told)
    other.append_all([some("late")])
    until(lambda: store.taken == ["late"])
    replayer.close()
    for each in (other, spool):
        each.close()


def test_the_store_goes_down_during_a_replay(tmp_path: Path, told: Told) -> None:
    """The rest stays in the spool, and nothing more is tried until the engine answers again."""
    spool = Spool(str(tmp_path), 2**20, told)
    spool.append_all([some(str(number)) for number in range(3)])
    taken: list[str] = []
    is_up = [True]

    def submit(event: Event) -> Future[Any]:
        taken.append(event.request_id)
        future: Future[Any] = Future()
        future.set_exception(StoreUnavailableError("down"))
        is_up.append(False)
        return future

    # One event per batch.
    replayer = Replayer(spool, str(tmp_path), submit, lambda: not is_up[-1], told, batch_bytes=1)
    until(lambda: bool(taken))
    replayer.close()
    assert taken == ["0"]
    assert len(spool.read(10, 2**20)) == 3
    spool.close()


def test_only_what_is_under_way_is_waited_for(spool: Spool) -> None:
    """`wait` returns at once where everything has its result, and else waits for the first event without one."""
    ends: list[Future[Any]] = []

    def submit(event: Event) -> Future[Any]:
        ends.append(Future())
        return ends[-1]

    replay = Replay(spool, submit, NullObserver(), 2**20)
    assert replay.begin()
    ends[0].set_result(None)
    replay.wait(0.001)
    assert not replay.is_done
    for end in ends[1:]:
        end.set_result(None)
    replay.wait(PATIENCE_SECONDS)
    assert replay.is_done
    replay.finish()
    assert spool.is_empty


def test_an_error_of_the_spool_is_told_and_ends_nothing(
    spool: Spool, told: Told, store: Store, start: Callable[[], Replayer]
) -> None:
    """The thread goes on after a spool that can't be read."""
    spool.close()
    start()
    until(lambda: told.what.count("spool_error") > 1)
    assert store.taken == []


def test_what_is_under_way_at_the_end_stays_in_the_spool(
    spool: Spool, store: Store, tmp_path: Path, told: Told
) -> None:
    """Nobody knows whether it is stored: the next process gives it to the store again."""
    waiting: list[Future[Any]] = []

    def submit(event: Event) -> Future[Any]:
        waiting.append(Future())
        return waiting[-1]

    replayer = Replayer(spool, str(tmp_path), submit, lambda: False, told)
    until(lambda: len(waiting) == 3)
    waiting[0].set_result(None)
    replayer.close()
    spool.refresh()
    assert [row[0] for row in spool.read(10, 2**20)] == [2, 3]
