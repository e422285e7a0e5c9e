"""The age of the oldest event in the spool."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from request_logger.spool import Spool, arrivals
from tests.test_spool import Seen, some


class WallClock:
    """A wall clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    clock = WallClock()
    monkeypatch.setattr(arrivals, "time", clock)
    return clock


def age(spool: Spool, seen: Seen) -> float:
    spool.refresh()
    return seen.age


def test_the_age_is_that_of_the_oldest_event_left(tmp_path: Path, clock: WallClock) -> None:
    """It falls as the oldest events are removed, and is 0 for an empty spool."""
    seen = Seen()
    spool = Spool(str(tmp_path), 2**30, seen)
    assert age(spool, seen) == 0
    for name in ("a", "b", "c"):
        spool.append(some(name))
        clock.now += 10
    assert age(spool, seen) == 30
    spool.remove(spool.read(1, 2**20))
    assert age(spool, seen) == 20
    spool.remove(spool.read(2, 2**20))
    assert age(spool, seen) == 0
    clock.now += 10
    spool.append(some("d"))
    clock.now += 5
    assert age(spool, seen) == 5
    spool.close()


def test_the_age_survives_a_restart(tmp_path: Path, clock: WallClock) -> None:
    """The next process reads when the events were added."""
    first = Spool(str(tmp_path), 2**30, Seen())
    first.append(some("a"))
    first.close()
    clock.now += 3600
    seen = Seen()
    second = Spool(str(tmp_path), 2**30, seen)
    assert seen.age == 3600
    second.close()


def test_events_without_a_mark_count_from_the_start(tmp_path: Path, clock: WallClock) -> None:
    """A spool of an earlier version has no marks."""
    first = Spool(str(tmp_path), 2**30, Seen())
    first.append(some("a"))
    first.close()
    with sqlite3.connect(tmp_path / "spool.db") as db:
        db.execute("DROP TABLE arrivals")
    db.close()
    seen = Seen()
    spool = Spool(str(tmp_path), 2**30, seen)
    clock.now += 7
    assert age(spool, seen) == 7
    spool.close()


def test_a_clock_that_was_set_back_gives_no_negative_age(tmp_path: Path, clock: WallClock) -> None:
    """The age is 0 until the clock has passed the old time, and later events have marks of their own."""
    seen = Seen()
    spool = Spool(str(tmp_path), 2**30, seen)
    spool.append(some("a"))
    clock.now -= 1000
    assert age(spool, seen) == 0
    spool.append(some("b"))
    spool.remove(spool.read(1, 2**20))
    clock.now += 4
    assert age(spool, seen) == 4
    spool.close()


def test_marks_are_few(tmp_path: Path, clock: WallClock) -> None:
    """One per second at most, and those of removed events are removed, except for the latest."""
    spool = Spool(str(tmp_path), 2**30, Seen())
    for number in range(100):
        spool.append(some(str(number)))
        clock.now += 0.1
    with sqlite3.connect(tmp_path / "spool.db") as db:
        (marks,) = db.execute("SELECT COUNT(*) FROM arrivals").fetchone()
        assert 8 <= marks <= 11
        spool.remove(spool.read(100, 2**30))
        assert db.execute("SELECT COUNT(*) FROM arrivals").fetchone() == (1,)
    db.close()
    spool.close()
