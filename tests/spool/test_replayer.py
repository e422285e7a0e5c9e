"""The thread that gives the spool's events to the store: when it does, and when it leaves them where they are."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from request_logger.documents.event import Event
from request_logger.spool import Replayer, Spool, from_bytes
from request_logger.spool.observer import NullObserver
from request_logger.store.changes import RejectedError, StoreUnavailableError
from request_logger.store.writing.future import Future
from tests.test_spool import Ready, some

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
        begun.append(Replayer(spool, str(tmp_path), partial(Ready, store.submit), store.down, told))
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

    replayer = Replayer(spool, str(tmp_path), partial(Ready, submit), lambda: False, told)
    until(lambda: len(waiting) == 3)
    waiting[0].set_result(None)
    replayer.close()
    spool.refresh()
    assert [row[0] for row in spool.read(10, 2**20)] == [2, 3]


class Late:
    """Takes events and stores them when it is told to."""

    def __init__(self) -> None:
        self.futures: dict[str, Future[Any]] = {}

    def submit(self, event: Event) -> Future[Any]:
        self.futures[event.request_id] = Future()
        return self.futures[event.request_id]


def left(spool: Spool) -> list[str]:
    return [from_bytes(record).request_id for _, record in spool.read(100, 2**20)]


def queue(spool: Spool, folder: Path, submit: Callable[[Event], Future[Any]], told: Told, **given: Any) -> Replayer:
    """Replay a spool as the queue of all events."""
    return Replayer(spool, str(folder), partial(Ready, submit), lambda: False, told, **{"delay": 0.0, **given})


def test_a_queue_is_replayed_continuously(spool: Spool, store: Store, told: Told, tmp_path: Path) -> None:
    """Events that arrive later are stored as well, by the same replayer."""
    replayer = queue(spool, tmp_path, store.submit, told)
    until(lambda: spool.is_empty)
    for name in ("later", "last"):
        spool.append(some(name))
        until(lambda: spool.is_empty)
    replayer.close()
    assert store.taken == ["0", "1", "2", "later", "last"]


def test_a_batch_is_queued_only_when_all_of_it_is_decoded(spool: Spool, told: Told, tmp_path: Path) -> None:
    """Else the writer would begin with the first events, and write a prediction's document several times."""
    steps: list[str] = []

    class Noted(Ready):
        def queue(self) -> Future[Any]:
            steps.append(f"queue {self.event.request_id}")
            return super().queue()

    def prepare(event: Event) -> Noted:
        steps.append(f"decode {event.request_id}")
        return Noted(Store().submit, event)

    replayer = Replayer(spool, str(tmp_path), prepare, lambda: False, told, delay=0.0)
    until(lambda: spool.is_empty)
    replayer.close()
    assert steps == [*(f"decode {name}" for name in "012"), *(f"queue {name}" for name in "012")]


def test_what_arrives_meanwhile_waits_for_the_next_round(spool: Spool, told: Told, tmp_path: Path) -> None:
    """A batch that isn't full ends the round, so that events are collected for the delay again."""
    late = Late()
    replayer = queue(spool, tmp_path, late.submit, told, delay=1000.0, batch_events=2)
    # The first pause is short, since the lock isn't held yet.
    until(lambda: len(late.futures) == 2)
    late.futures["0"].set_result(None)
    late.futures["1"].set_result(None)
    until(lambda: len(late.futures) == 3)
    spool.append(some("3"))
    late.futures["2"].set_result(None)
    until(lambda: left(spool) == ["3"])
    replayer.close()
    assert list(late.futures) == ["0", "1", "2"]
    assert left(spool) == ["3"]


def test_a_stop_replays_what_is_left(spool: Spool, told: Told, tmp_path: Path) -> None:
    """It doesn't wait for the delay, and ends as soon as the spool is empty."""
    store = Store()
    replayer = queue(spool, tmp_path, store.submit, told, delay=1000.0)
    until(lambda: spool.is_empty)
    spool.append_all([some(str(number)) for number in range(3, 9)])
    replayer.close(PATIENCE_SECONDS)
    assert store.taken == [str(number) for number in range(9)]
    assert left(spool) == []


def test_a_stop_replays_what_another_process_left(spool: Spool, told: Told, tmp_path: Path) -> None:
    """The one that holds the lock ends first, without the events that the other has appended since."""
    other = os.open(tmp_path / "replay.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(other, fcntl.LOCK_EX)
    store = Store()
    replayer = queue(spool, tmp_path, store.submit, told)
    closing = threading.Thread(target=replayer.close, args=(PATIENCE_SECONDS,))
    closing.start()
    until(replayer._stopping.is_set)
    assert store.taken == []
    os.close(other)
    closing.join(PATIENCE_SECONDS)
    assert store.taken == ["0", "1", "2"]


def test_a_stop_without_an_engine_leaves_all_on_disk(spool: Spool, store: Store, told: Told, tmp_path: Path) -> None:
    """It doesn't wait for an engine that doesn't answer."""
    store.is_down = True
    replayer = Replayer(spool, str(tmp_path), partial(Ready, store.submit), store.down, told, delay=0.0)
    replayer.close(PATIENCE_SECONDS)
    assert not replayer._thread.is_alive()
    assert store.taken == []
    assert left(spool) == ["0", "1", "2"]


def test_the_lock_is_kept_while_there_is_progress(spool: Spool, store: Store, told: Told, tmp_path: Path) -> None:
    """One process replays all the time; after a round in which nothing was stored, another one may."""
    replayer = queue(spool, tmp_path, store.submit, told)
    until(lambda: spool.is_empty)
    other = os.open(tmp_path / "replay.lock", os.O_RDWR | os.O_CREAT, 0o600)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    store.fails = lambda name: StoreUnavailableError("not now")
    spool.append(some("3"))
    # Waits for the lock.
    fcntl.flock(other, fcntl.LOCK_EX)
    assert store.taken[-1] == "3"
    os.close(other)
    replayer.close()


def test_events_that_are_stuck_delay_no_others(spool: Spool, told: Told, tmp_path: Path) -> None:
    """The store hasn't decided on the first three, such as those of an index that takes nothing."""
    late, store = Late(), Store()

    def submit(event: Event) -> Future[Any]:
        return late.submit(event) if event.request_id in ("0", "1", "2") else store.submit(event)

    replayer = queue(spool, tmp_path, submit, told, batch_events=2)
    until(lambda: len(late.futures) == 3)
    spool.append_all([some(str(number)) for number in range(10, 30)])
    until(lambda: left(spool) == ["0", "1", "2"])
    assert told.what == []
    for future in late.futures.values():
        future.set_result(None)
    until(lambda: spool.is_empty)
    replayer.close()
    assert store.taken == [str(number) for number in range(10, 30)]
    assert told.what == []


def test_events_that_fail_are_retried_beside_others(spool: Spool, store: Store, told: Told, tmp_path: Path) -> None:
    """New events are stored all the time, and those that failed once they can be."""
    store.fails = lambda name: StoreUnavailableError("blocked") if name in ("0", "1", "2") else None
    replayer = queue(spool, tmp_path, store.submit, told)
    number = 10
    while store.taken.count("0") < 4:
        spool.append(some(str(number)))
        number += 1
        time.sleep(0.02)
    until(lambda: left(spool) == ["0", "1", "2"])
    store.fails = lambda name: None
    until(lambda: spool.is_empty)
    replayer.close()
    assert [store.taken.count(str(new)) for new in range(10, number)] == [1] * (number - 10)


def test_a_long_queue_is_replayed_without_pauses(spool: Spool, store: Store, told: Told, tmp_path: Path) -> None:
    """The delay is for events that arrive, not for those that have waited already."""
    spool.append_all([some(str(number)) for number in range(3, 20)])
    replayer = queue(spool, tmp_path, store.submit, told, delay=1000.0, batch_events=2)
    until(lambda: spool.is_empty)
    until(lambda: not replayer._lanes.has_more)
    replayer.close()
    assert store.taken == [str(number) for number in range(20)]


def test_a_file_that_was_replaced_is_replayed_from_its_start(
    spool: Spool, store: Store, told: Told, tmp_path: Path
) -> None:
    """The numbers of the events begin anew after a damaged file was moved away: none is taken for a replayed one."""
    replayer = queue(spool, tmp_path, store.submit, told)
    until(lambda: spool.is_empty)
    error = sqlite3.DatabaseError("damaged")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    spool._replace_damaged(error)
    spool.append(some("new"))
    until(lambda: spool.is_empty)
    replayer.close()
    assert store.taken == ["0", "1", "2", "new"]
