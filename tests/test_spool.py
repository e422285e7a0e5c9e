"""The spool on disk: order, bound, damage, several processes, replay."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from request_logger.documents.event import Body, Event, from_headers
from request_logger.settings import Settings, SettingsError
from request_logger.spool import EventTooLargeError, Replayer, Spool, from_bytes, to_bytes
from request_logger.store.changes import RejectedError, StoreUnavailableError
from request_logger.store.writing.future import Future
from tests.helpers import event

APPENDER = """
import sys
from tests.test_spool import Seen, some
from request_logger.spool import Spool
spool = Spool(sys.argv[1], 2**30, Seen())
for number in range(int(sys.argv[3])):
    spool.append(some(f"{sys.argv[2]}-{number}"))
    print(number, flush=True)
"""

GREENLETS = """
from gevent import monkey
monkey.patch_all()
import sys, threading
from tests.test_spool import Seen, some
from request_logger.spool import Spool
spool = Spool(sys.argv[1], 2**30, Seen())
commits = []
spool._db.set_trace_callback(lambda statement: commits.append(statement) if statement == "COMMIT" else None)
def run(name):
    for number in range(20):
        spool.append(some(f"{name}-{number}"))
threads = [threading.Thread(target=run, args=(name,)) for name in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(spool.read(1000, 2**30)), len(commits))
"""


class Seen:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.what: list[str] = []
        self.count = {"spooled": 0, "replayed": 0}

    def spool_size(self, events: int, size: int) -> None:
        self.size = (events, size)

    def oldest_event(self, age: float) -> None:
        self.age = age

    def spooled(self, count: int) -> None:
        self.count["spooled"] += count

    def replayed(self, count: int) -> None:
        self.count["replayed"] += count

    def happened(self, what: str, index: str, reason: str) -> None:
        self.what.append(what)


@dataclass
class Ready:
    """A decoded event, which a function gives to a store."""

    submit: Callable[[Event], Future[Any]]
    event: Event
    held_bytes: int = 1

    def queue(self) -> Future[Any]:
        return self.submit(self.event)


def some(request_id: str, raw: bytes | None = b'{"data": {"ndarray": [[1, 2]]}}', **headers: str) -> Event:
    lowered = {name.lower(): value for name, value in event("request", request_id, "d", **headers).items()}
    body = Body(raw, "application/json", 31, "" if raw is not None else "ab12")
    return from_headers(lowered, body, Settings())


def ids(spool: Spool) -> list[str]:
    return [from_bytes(record).request_id for _, record in spool.read(10_000, 2**30)]


def appender(folder: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", APPENDER, str(folder), name, str(count)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )


def wait_until(condition: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "one",
    [some("a"), some("ü\"'%/", raw=b"\xff\x00\n"), some("b", raw=None), some("c", raw=b"", Ce_Time="")],
    ids=["usual", "binary", "dropped", "empty"],
)
def test_event_survives_as_it_is(one: Event) -> None:
    """All of an event comes back, the timestamp of its arrival too."""
    assert from_bytes(to_bytes(one)) == one


def test_damage_of_a_record_is_seen() -> None:
    """Whatever byte of a record is another, it is refused."""
    record = to_bytes(some("a"))
    for position in range(len(record)):
        damaged = bytearray(record)
        damaged[position] ^= 1
        with pytest.raises(ValueError, match="spool"):
            from_bytes(bytes(damaged))
    with pytest.raises(ValueError, match="cut off"):
        from_bytes(record[:5])


def test_torn_last_record_takes_only_itself(tmp_path: Path) -> None:
    """The disk's state after a write that was cut off: all before it are there, in order, and appending goes on."""
    spool = Spool(str(tmp_path / "a"), 2**30, Seen())
    for number in range(20):
        spool.append(some(str(number)))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    spool.close()
    log = tmp_path / "b" / "spool.db-wal"
    os.truncate(log, log.stat().st_size - 100)
    torn = Spool(str(tmp_path / "b"), 2**30, Seen())
    assert ids(torn) == [str(number) for number in range(19)]
    torn.append(some("more"))
    assert ids(torn)[-1] == "more"
    torn.close()


def test_damaged_file_is_moved_aside(tmp_path: Path) -> None:
    """A file that is no database is kept under another name, and the spool begins anew."""
    (tmp_path / "spool.db").write_bytes(b"no database" * 1000)
    seen = Seen()
    spool = Spool(str(tmp_path), 2**30, seen)
    spool.append(some("a"))
    assert ids(spool) == ["a"]
    assert seen.what == ["spool_bad"]
    assert len(list(tmp_path.glob("bad-*.db"))) == 1
    spool.close()


def test_full_spool_keeps_the_oldest(tmp_path: Path) -> None:
    """Beyond the bound new events are refused, until there is room again; the bound is that of all who share it."""
    spool, other = Spool(str(tmp_path), 5000, Seen()), Spool(str(tmp_path), 5000, Seen())
    count = 0
    with pytest.raises(StoreUnavailableError, match="full"):
        for _ in range(100):
            spool.append(some(str(count)))
            count += 1
    with pytest.raises(StoreUnavailableError, match="full"):
        other.append(some("other"))
    assert ids(other) == [str(number) for number in range(count)]
    assert 0 < count < 15
    other.remove(spool.read(2, 2**30))
    spool.append(some("later"))
    assert ids(spool) == [*(str(number) for number in range(2, count)), "later"]
    spool.close()
    other.close()


def test_full_disk_is_refused_and_passes(tmp_path: Path) -> None:
    """What SQLite says when the disk is full is a StoreUnavailableError; later appends work again."""
    spool = Spool(str(tmp_path), 2**30, Seen())
    assert spool._db is not None
    spool._db.execute("PRAGMA max_page_count=20")
    with pytest.raises(StoreUnavailableError, match="full"):
        for number in range(1000):
            spool.append(some(str(number)))
    before = len(ids(spool))
    spool._db.execute("PRAGMA max_page_count=1000000")
    spool.append(some("later"))
    assert len(ids(spool)) == before + 1
    spool.close()


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """It is one line at the start that names the variable."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"^SPOOL_DIR: [^\n]*$"):
        Spool(str(tmp_path / "file" / "x"), 2**30, Seen())


def test_processes_share_it_and_a_killed_one_leaves_its_events(tmp_path: Path) -> None:
    """Two processes append at once, one is killed (-9): whatever either was told is there, in its order."""
    first, second = appender(tmp_path, "a", 300), appender(tmp_path, "b", 100_000)
    assert second.stdout is not None
    told = [second.stdout.readline() for _ in range(100)]
    second.send_signal(signal.SIGKILL)
    told += second.stdout.readlines()
    assert first.communicate(timeout=60)[0].split()[-1] == b"299"
    second.wait(10)
    spool = Spool(str(tmp_path), 2**30, Seen())
    found = ids(spool)
    spool.close()
    assert [id for id in found if id.startswith("a")] == [f"a-{number}" for number in range(300)]
    of_second = [id for id in found if id.startswith("b")]
    acknowledged = len([line for line in told if line.endswith(b"\n")])
    # One may have been on disk before it could be told.
    assert of_second in (
        [f"b-{number}" for number in range(acknowledged)],
        [f"b-{number}" for number in range(acknowledged + 1)],
    )


def test_replay_in_order_by_one_at_a_time(tmp_path: Path) -> None:
    """Two replayers share the work; each event is replayed once, the oldest first; bad ones block nothing."""
    seen = Seen()
    spools = [Spool(str(tmp_path), 2**30, seen) for _ in range(2)]
    for number in range(1500):
        spools[0].append(some(f"{number:04}"))
    with sqlite3.connect(tmp_path / "spool.db") as db:
        db.execute("UPDATE events SET record = x'00ff' WHERE id = 8")
    db.close()
    order: list[str] = []
    failing = 3

    def submit(one: Event) -> Future[None]:
        nonlocal failing
        future: Future[None] = Future()
        if failing:
            failing -= 1
            raise StoreUnavailableError("away")
        if one.request_id == "0100":
            future.set_exception(RejectedError("in every form"))
            return future
        order.append(one.request_id)
        future.set_result(None)
        return future

    replayers = [Replayer(spool, str(tmp_path), partial(Ready, submit), lambda: False, seen) for spool in spools]
    wait_until(lambda: seen.count["replayed"] == 1498)
    for replayer in replayers:
        replayer.close()
    assert order == [f"{number:04}" for number in range(1500) if number not in (7, 100)]
    assert seen.what == ["spool_bad"] * 2
    assert sorted(path.read_bytes()[:4] for path in tmp_path.glob("bad-*.bin")) == [b"\x00\xff", b"RLS1"]
    for spool in spools:
        spool.refresh()
        assert spool.is_empty
        spool.close()
    assert (tmp_path / "spool.db").stat().st_size < 100_000, "an empty spool gives the disk back"


@pytest.mark.parametrize("threads", [1, 8])
def test_cost(tmp_path: Path, threads: int) -> None:
    """Prints what an append costs; concurrent ones share a commit."""
    spool = Spool(str(tmp_path), 2**30, Seen())
    commits: list[str] = []
    assert spool._db is not None
    spool._db.set_trace_callback(lambda statement: commits.append(statement) if statement == "COMMIT" else None)
    one = some("a", raw=b"x" * 1000)

    def run() -> None:
        for _ in range(400 // threads):
            spool.append(one)

    runners = [threading.Thread(target=run) for _ in range(threads)]
    started, cpu = time.monotonic(), time.process_time()
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    print(
        f"\n{threads} threads: {400 / seconds:.0f} events/s, {1000 * seconds * threads / 400:.2f} ms and "
        f"{1000 * cpu / 400:.2f} ms of CPU per event, {len(commits)} commits"
    )
    assert len(spool.read(1000, 2**30)) == 400
    assert (len(commits) < 400) == (threads > 1)
    spool.close()


def test_greenlets_share_commits(tmp_path: Path) -> None:
    """Under gevent, too, events that come at the same time wait for one fsync together."""
    ran = subprocess.run(
        [sys.executable, "-c", GREENLETS, str(tmp_path)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    events, commits = map(int, ran.stdout.split())
    assert events == 400
    assert commits < 100


def test_a_batch_is_one_transaction(tmp_path: Path) -> None:
    """Events that came together are there in their order after one commit; those that don't fit are named."""
    spool = Spool(str(tmp_path), 5000, Seen())
    commits: list[str] = []
    assert spool._db is not None
    spool._db.set_trace_callback(lambda statement: commits.append(statement) if statement == "COMMIT" else None)
    errors = spool.append_all([some(str(number)) for number in range(100)])
    assert len(commits) == 1
    assert ids(spool) == [str(number) for number, error in enumerate(errors) if error is None]
    assert 0 < len(ids(spool)) < 15
    assert {str(error) for error in errors if error} == {"the spool is full"}
    assert spool.append_all([]) == []
    spool.close()


def test_an_event_larger_than_the_spool(tmp_path: Path) -> None:
    """No retry helps, which its error says; the events with it are stored."""
    spool = Spool(str(tmp_path), 5000, Seen())
    too_large, stored = spool.append_all([some("large", raw=b"x" * 5000), some("small")])
    assert isinstance(too_large, EventTooLargeError)
    assert str(too_large) == "the event is larger than SPOOL_MAX_BYTES allows"
    assert stored is None
    assert ids(spool) == ["small"]
