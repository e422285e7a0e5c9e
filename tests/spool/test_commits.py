"""Group commit of the spool: which records share a transaction, and what becomes of their errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from request_logger.spool.commits import Commits, Entry
from request_logger.store.changes import StoreUnavailableError

# Far longer than a test takes: whoever waits for the whole time makes it hang.
LONG_SECONDS = 600.0


class Disk:
    """Notes the commits; refuses records that start with ``bad``."""

    def __init__(self) -> None:
        self.commits: list[list[bytes]] = []
        self.may_commit = threading.Event()
        self.may_commit.set()
        self.begun = threading.Semaphore(0)

    def commit(self, entries: Sequence[Entry]) -> None:
        """Commit, as soon as the test allows it."""
        self.begun.release()
        assert self.may_commit.wait(60)
        self.commits.append([entry.record for entry in entries])
        for entry in entries:
            entry.error = StoreUnavailableError("bad") if entry.record.startswith(b"bad") else None
            entry.done = True


def started(commits: Commits, records: Sequence[bytes], results: list[object]) -> threading.Thread:
    """Append records in a thread, whose result is added to the results."""
    thread = threading.Thread(target=lambda: results.append(commits.append(records)))
    thread.start()
    return thread


def waiting(commits: Commits, count: int) -> None:
    """Wait until so many calls wait for a commit."""
    deadline = time.monotonic() + 60
    while len(commits._waiting) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_single_sender_does_not_wait() -> None:
    """Where no second event was ever in flight, each is committed at once, whatever the linger."""
    disk = Disk()
    commits = Commits(disk.commit, LONG_SECONDS)
    for record in (b"a", b"b", b"c"):
        assert commits.append([record]) == [None]
    assert disk.commits == [[b"a"], [b"b"], [b"c"]]
    assert commits.append([]) == []


def test_events_wait_until_all_senders_do() -> None:
    """Once two senders have been in flight together, the event of one waits for that of the other."""
    disk, results = Disk(), list[object]()
    commits = Commits(disk.commit, LONG_SECONDS)
    disk.may_commit.clear()
    threads = [started(commits, [b"a"], results)]
    assert disk.begun.acquire(timeout=60)
    threads.append(started(commits, [b"bad"], results))
    waiting(commits, 1)
    disk.may_commit.set()
    threads[0].join(60)
    threads.append(started(commits, [b"c"], results))
    for thread in threads:
        thread.join(60)
    assert disk.commits == [[b"a"], [b"bad", b"c"]]
    assert sorted(str(result) for result in results) == ["[None]", "[None]", "[StoreUnavailableError('bad')]"]


def test_several_at_once_do_not_wait() -> None:
    """A batch is committed without waiting for senders that were there before."""
    disk, results = Disk(), list[object]()
    commits = Commits(disk.commit, LONG_SECONDS)
    disk.may_commit.clear()
    threads = [started(commits, [b"a"], results)]
    assert disk.begun.acquire(timeout=60)
    threads.append(started(commits, [b"b", b"c"], results))
    waiting(commits, 1)
    disk.may_commit.set()
    for thread in threads:
        thread.join(60)
    assert disk.commits == [[b"a"], [b"b", b"c"]]


def test_a_failed_commit_leaves_no_sender_waiting() -> None:
    """An exception reaches its sender; the next event has a commit of its own."""
    failures = [OSError("once")]

    def commit(entries: Sequence[Entry]) -> None:
        if failures:
            raise failures.pop()
        for entry in entries:
            entry.error, entry.done = None, True

    commits = Commits(commit, LONG_SECONDS)
    try:
        commits.append([b"a"])
    except OSError as error:
        assert str(error) == "once"
    else:
        raise AssertionError("the error was swallowed")
    assert commits.append([b"b"]) == [None]
