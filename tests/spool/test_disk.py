"""The spool's file: damage, kills, several processes, folders that can't be used."""

from __future__ import annotations

import fcntl
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from request_logger.spool import Spool
from request_logger.spool import disk as disk_module
from request_logger.spool.observer import NullObserver
from request_logger.spool.record import frame, unframe
from request_logger.store.changes import StoreUnavailableError
from tests.test_spool import Seen, ids, some, wait_until

# Appends one event that is acknowledged, begins to append another, and is killed inside of its transaction.
KILLED = """
import os, signal, sys
from tests.test_spool import Seen, some
from request_logger.spool import Spool
spool = Spool(sys.argv[1], 2**30, Seen())
spool.append(some("told", raw=b"x" * 20_000))
def trace(statement):
    if statement.startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
spool._db.set_trace_callback(trace)
print("told", flush=True)
spool.append_all([some(str(number), raw=b"x" * 20_000) for number in range(50)])
"""

# Opens the spool, and after a line on its standard input appends and tells what came of it.
WAITING = """
import sys
from tests.test_spool import Seen, some
from request_logger.spool import Spool
spool = Spool(sys.argv[1], 2**30, Seen())
spool.append(some("a"))
print("ready", flush=True)
sys.stdin.readline()
spool.append(some("b"))
spool.refresh()
print(len(spool.read(100, 2**30)), flush=True)
"""


def run(script: str, *arguments: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
    )


def damage(path: Path, start: int = 0) -> None:
    """Overwrite a file from a place on, without changing its size or inode."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * (path.stat().st_size - start))


def checkpointed(folder: Path, count: int) -> None:
    """Leave a spool behind all of whose pages are in its database, none in the log."""
    spool = Spool(str(folder), 2**30, Seen())
    spool.append_all([some(str(number), raw=b"x" * 3000) for number in range(count)])
    spool.close()


@pytest.mark.parametrize("statement", ["BEGIN", "INSERT INTO events", "UPDATE totals", "COMMIT"])
def test_killed_within_an_append(tmp_path: Path, statement: str) -> None:
    """kill -9 at any step of a transaction: what was told is there, what was not is gone, and the lock is free."""
    process = run(KILLED, tmp_path, statement)
    assert process.communicate(timeout=30)[0] == "told\n"
    assert process.returncode == -signal.SIGKILL
    seen = Seen()
    spool = Spool(str(tmp_path), 2**30, seen)
    assert ids(spool) == ["told"]
    assert seen.size[0] == 1
    spool.append(some("later"))
    assert ids(spool) == ["told", "later"]
    assert seen.what == []
    spool.close()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_damaged_log(tmp_path: Path, share: float) -> None:
    """A write-ahead log that rotted is used as far as its checksums are right; the spool goes on."""
    first = Spool(str(tmp_path / "a"), 2**30, Seen())
    for number in range(20):
        first.append(some(str(number)))
    subprocess.run(["cp", "-r", tmp_path / "a", tmp_path / "b"], check=True)
    first.close()
    log = tmp_path / "b" / "spool.db-wal"
    damage(log, int(log.stat().st_size * share))
    spool = Spool(str(tmp_path / "b"), 2**30, Seen())
    left = ids(spool)
    assert left == [str(number) for number in range(len(left))]
    assert len(left) < 20
    assert (len(left) > 0) == (share > 0)
    spool.append(some("later"))
    assert ids(spool) == [*left, "later"]
    spool.close()


@pytest.mark.parametrize("use", ["append", "read", "remove", "open"])
def test_damage_while_it_is_open(tmp_path: Path, use: str) -> None:
    """Whoever meets the damage first, the file is moved aside once, and new events are taken at once."""
    checkpointed(tmp_path, 50)
    seen = Seen()
    spool = Spool(str(tmp_path), 2**30, seen)
    rows = spool.read(10, 2**30)
    damage(tmp_path / "spool.db", 0 if use == "open" else 4096)
    if use == "open":
        spool = Spool(str(tmp_path), 2**30, seen)
    elif use == "append":
        spool.append(some("first"))
    else:
        # The one that meets it can't be answered.
        calls: dict[str, Any] = {
            "read": lambda: spool.read(100, 2**30),
            "remove": lambda: spool.remove(rows),
        }
        with pytest.raises(sqlite3.DatabaseError):
            calls[use]()
    spool.append(some("later"))
    assert ids(spool)[-1] == "later"
    assert seen.what == ["spool_bad"]
    assert len(list(tmp_path.glob("bad-*.db"))) == 1
    spool.close()


def test_another_process_replaces_the_damaged_file(tmp_path: Path) -> None:
    """A process that has the old file open switches to the new one: what it writes is where others read."""
    other = run(WAITING, tmp_path)
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    damage(tmp_path / "spool.db-wal")
    damage(tmp_path / "spool.db")
    (tmp_path / "spool.db-shm").unlink()
    seen = Seen()
    spool = Spool(str(tmp_path), 2**30, seen)
    spool.append(some("c"))
    other.stdin.write("go\n")
    other.stdin.flush()
    assert other.stdout.readline() == "2\n"
    other.wait(10)
    assert ids(spool) == ["c", "b"]
    assert len(list(tmp_path.glob("bad-*.db"))) == 1
    spool.close()


def test_only_one_of_two_replaces_it(tmp_path: Path) -> None:
    """Two that meet the same damage: the second keeps what the first has begun."""
    checkpointed(tmp_path, 5)
    seen = Seen()
    spools = [Spool(str(tmp_path), 2**30, seen) for _ in range(2)]
    damage(tmp_path / "spool.db")
    for number, spool in enumerate(spools):
        spool.append(some(str(number)))
    assert ids(spools[0]) == ids(spools[1]) == ["0", "1"]
    # The second has met it too, before the first replaced the file.
    spools[1]._inode = -1
    error = sqlite3.DatabaseError()
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    spools[1]._replace_damaged(error)
    assert ids(spools[1]) == ["0", "1"]
    assert seen.what == ["spool_bad"]
    for spool in spools:
        spool.close()


def test_what_is_no_damage_moves_nothing(tmp_path: Path) -> None:
    """Any other error of SQLite leaves the file where it is: its events are still good."""
    spool = Spool(str(tmp_path), 2**30, Seen())
    spool.append(some("a"))
    holder = sqlite3.connect(tmp_path / "spool.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert spool._db is not None
    spool._db.execute("PRAGMA busy_timeout=10")
    with pytest.raises(StoreUnavailableError, match="locked"):
        spool.append(some("b"))
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        spool.remove(spool.read(1, 2**30))
    holder.execute("ROLLBACK")
    holder.close()
    spool.append(some("c"))
    assert ids(spool) == ["a", "c"]
    assert list(tmp_path.glob("bad-*")) == []
    spool.close()


def test_closed(tmp_path: Path) -> None:
    """After the end nothing is taken; closing twice is no error."""
    spool = Spool(str(tmp_path), 2**30, NullObserver())
    spool.append(some("a"))
    spool.close()
    spool.close()
    with pytest.raises(StoreUnavailableError, match="shutting down"):
        spool.append(some("b"))
    with pytest.raises(StoreUnavailableError, match="shutting down"):
        spool.read(1, 1)


def test_bounds_of_read_and_remove(tmp_path: Path) -> None:
    """At least one record is read whatever its size; what is not there any more is not removed again."""
    seen = Seen()
    spool = Spool(str(tmp_path), 2**30, seen)
    assert spool.read(10, 10) == []
    spool.append_all([some(str(number), raw=b"x" * 1000) for number in range(5)])
    assert len(spool.read(10, 1)) == 1
    assert len(spool.read(2, 2**30)) == 2
    assert len(spool.read(10, 2 * len(spool.read(1, 1)[0][1]))) == 2
    spool.remove([])
    rows = spool.read(2, 2**30)
    size = seen.size
    spool.remove(rows)
    spool.remove(rows)
    assert seen.size[0] == 3
    assert seen.size[1] == size[1] * 3 // 5
    assert spool.has_room
    assert not spool.is_empty
    spool.close()


def test_one_commits_for_another(tmp_path: Path) -> None:
    """Threads that append at once: each event is there once, whoever has committed it."""
    spool = Spool(str(tmp_path), 2**30, NullObserver())
    threads = [threading.Thread(target=lambda n=n: spool.append(some(str(n)))) for n in range(20)]
    with spool._mutex:
        for thread in threads:
            thread.start()
        wait_until(lambda: spool._commits.in_flight == 20)
    for thread in threads:
        thread.join()
    assert sorted(ids(spool), key=int) == [str(number) for number in range(20)]
    spool.close()


def test_an_append_that_is_torn_by_an_error(tmp_path: Path) -> None:
    """An exception of any kind within the commit: the events are neither there nor said to be, and the lock is free."""

    spool = Spool(str(tmp_path), 2**30, NullObserver())
    real, spool._add = spool._add, lambda *_: 1 / 0  # type: ignore[assignment,method-assign]
    with pytest.raises(ZeroDivisionError):
        spool.append(some("a"))
    spool._add = real  # type: ignore[method-assign]
    assert ids(spool) == []
    with (tmp_path / "spool.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    spool.append(some("b"))
    assert ids(spool) == ["b"]
    spool.close()


def test_a_file_that_is_removed_while_sizes_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator cleans up ``bad-*.bin`` at any time: that is no error of the spool."""
    spool = Spool(str(tmp_path), 2**30, NullObserver())
    (tmp_path / "bad-1.bin").write_bytes(b"x" * 100)
    spool.refresh()
    assert spool._aside_bytes == 100
    real = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [*real(self, pattern), tmp_path / "bad-gone.bin"])
    spool.refresh()
    assert spool._aside_bytes == 100
    spool.close()


def test_what_is_set_aside_counts_towards_the_bound(tmp_path: Path) -> None:
    """Else a sender of records that can't be stored could fill the disk."""
    spool = Spool(str(tmp_path), 10_000, NullObserver())
    for number in range(4):
        spool.append(some(str(number), raw=b"x" * 1500))
        (row,) = spool.read(1, 1)
        spool.set_aside(row, "no reason")
    spool.refresh()
    assert spool.is_empty
    assert not spool.has_room
    with pytest.raises(StoreUnavailableError, match="spool is full"):
        spool.append(some("more", raw=b"x" * 1500))
    spool.close()


def test_a_crash_between_setting_aside_and_removing(tmp_path: Path) -> None:
    """The record is set aside again, into the same file."""
    spool = Spool(str(tmp_path), 2**30, NullObserver())
    spool.append(some("a"))
    (row,) = spool.read(1, 1)
    spool.set_aside(row, "no reason")
    spool.set_aside(row, "no reason")
    assert [path.read_bytes() for path in tmp_path.glob("bad-*")] == [row[1]]
    spool.close()


def test_records_of_a_replaced_file_are_not_taken_for_new_ones(tmp_path: Path) -> None:
    """Numbers begin anew in a new file: who removes what it has read of the old one must not remove others' events."""
    checkpointed(tmp_path, 20)
    replayer, other = (Spool(str(tmp_path), 2**30, Seen()) for _ in range(2))
    rows = replayer.read(10, 2**30)
    damage(tmp_path / "spool.db")
    later = [str(number) for number in range(100, 120)]
    assert other.append_all([some(id) for id in later]) == [None] * 20
    replayer.remove(rows)
    assert ids(other) == later
    other.refresh()
    assert not other.is_empty
    for spool in (replayer, other):
        spool.close()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_intact_records_of_a_damaged_file_are_kept(tmp_path: Path, share: float) -> None:
    """What was acknowledged and can still be read is replayed; only what rotted is left in the file aside."""
    checkpointed(tmp_path, 200)
    path = tmp_path / "spool.db"
    pages = path.stat().st_size // 4096
    with path.open("r+b") as file:
        file.seek(int(pages * share) * 4096)
        file.write(b"\xa5" * 4096)
    seen = Seen()
    spool = Spool(str(tmp_path), 2**30, seen)
    with pytest.raises(sqlite3.DatabaseError):
        spool.read(1000, 2**30)
    left = [int(id) for id in ids(spool)]
    assert left == sorted(left)
    assert 150 < len(left) < 200
    assert seen.size[0] == len(left)
    spool.append(some("later"))
    assert ids(spool)[-1] == "later"
    rows = spool.read(1000, 2**30)
    spool.remove(rows)
    spool.refresh()
    assert spool.is_empty
    assert seen.size == (0, 0)
    spool.close()


def test_a_record_that_rotted_is_not_kept_from_a_damaged_file(tmp_path: Path) -> None:
    """Its checksum is wrong: it stays in the file aside."""
    checkpointed(tmp_path, 20)
    with sqlite3.connect(tmp_path / "spool.db") as db:
        db.execute("UPDATE events SET record = x'00ff' WHERE id = 8")
        db.execute("DROP TABLE totals")
    db.close()
    spool = Spool(str(tmp_path), 2**30, Seen())
    error = sqlite3.DatabaseError("damaged")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    spool._replace_damaged(error)
    assert ids(spool) == [str(number) for number in range(20) if number != 7]
    spool.close()


def test_no_room_for_what_is_intact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full, what was kept until then counts, and new events are taken as soon as they can be."""
    monkeypatch.setattr(disk_module, "_SALVAGE_BYTES", 5000)
    checkpointed(tmp_path, 20)
    seen = Seen()
    spool = Spool(str(tmp_path), 2**30, seen)
    monkeypatch.setattr(disk_module, "_SCHEMA", (*disk_module._SCHEMA, "PRAGMA max_page_count=12"))
    error = sqlite3.DatabaseError("damaged")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    spool._replace_damaged(error)
    kept = ids(spool)
    assert 0 < len(kept) < 20
    assert kept == [str(number) for number in range(len(kept))]
    assert seen.size[0] == len(kept)
    spool.close()


def test_records_with_other_attributes(tmp_path: Path) -> None:
    """A spool holds any attributes with a body, and knows its size."""
    spool = Spool(str(tmp_path), 2**30, Seen())
    contents: list[tuple[dict[str, Any], bytes]] = [({"a": ["\ud800"]}, b"body"), ({}, b"")]
    records = [frame(*content) for content in contents]
    assert spool.append_records(records) == [None, None]
    assert [unframe(record) for _, record in spool.read(10, 2**20)] == contents
    count, size = spool.size
    assert count == 2
    assert size > sum(map(len, records))
    spool.close()
