"""A full disk: what was spooled is kept, can be removed again, and gives its room back."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from request_logger.spool import Spool
from request_logger.spool import disk as disk_module
from request_logger.spool.reserve import Reserve, is_out_of_space
from request_logger.store.changes import StoreUnavailableError
from tests.test_spool import Seen, ids, some

RESERVE = 2**20

CLOSER = """
import sys
from request_logger.spool import Spool, disk
from tests.test_spool import Seen
disk.RESERVE_BYTES = int(sys.argv[2])
Spool(sys.argv[1], 2**30, Seen()).close()
"""


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 2 MiB; the space that the spool reserves is less than usual, too."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        monkeypatch.setattr(disk_module, "RESERVE_BYTES", RESERVE)
        yield folder
    finally:
        # Lazily: a test that failed leaves its spool open.
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(spool: Spool, size: int = 3000) -> list[str]:
    """Append events until the disk is full; return the request ids of those that were taken."""
    taken: list[str] = []
    with pytest.raises(StoreUnavailableError, match="full"):
        for number in range(10_000):
            spool.append(some(str(number), raw=b"x" * size))
            taken.append(str(number))
    assert taken
    return taken


def occupy(folder: Path, name: str = "others") -> Path:
    """Take all space that is left, as another program's files would."""
    path = folder / name
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 1024)
    return path


@pytest.mark.parametrize("at_once", [1, 7, 500])
def test_events_can_be_removed(small_disk: Path, at_once: int) -> None:
    """A DELETE needs space as well: without a reserve no event could ever be removed, and all were replayed forever."""
    spool = Spool(str(small_disk), 2**30, Seen())
    taken = fill(spool)
    others = occupy(small_disk)
    assert ids(spool) == taken
    removed = 0
    while rows := spool.read(at_once, 2**30):
        spool.remove(rows)
        removed += len(rows)
    assert removed == len(taken)
    spool.refresh()
    assert spool.is_empty
    others.unlink()
    spool.append(some("later"))
    assert ids(spool) == ["later"]
    spool.close()


def test_what_is_removed_makes_room(small_disk: Path) -> None:
    """Once events were removed, as many fit again; this can go on."""
    spool = Spool(str(small_disk), 2**30, Seen())
    first = len(fill(spool))
    for _ in range(4):
        spool.remove(spool.read(10_000, 2**30))
        assert len(fill(spool)) > first / 2
    spool.close()


def test_the_reserve_is_not_for_new_events(small_disk: Path) -> None:
    """While the reserve can't be filled new events are refused: they would take the space that removing needs."""
    spool = Spool(str(small_disk), 2**30, Seen())
    taken = [str(number) for number in range(20)]
    assert spool.append_all([some(id) for id in taken]) == [None] * len(taken)
    (small_disk / "spool.reserve").unlink()
    others = occupy(small_disk)
    os.truncate(others, others.stat().st_size - RESERVE // 2)
    with pytest.raises(StoreUnavailableError, match="disk is full"):
        spool.append(some("more"))
    assert ids(spool) == taken
    spool.remove(spool.read(5, 2**30))
    assert ids(spool) == taken[5:]
    spool.close()


def test_set_aside(small_disk: Path) -> None:
    """A record can be set aside, too; where there is no space at all, nothing half-written is left behind."""
    seen = Seen()
    spool = Spool(str(small_disk), 2**30, seen)
    taken = fill(spool, size=20_000)
    occupy(small_disk)
    (row,) = spool.read(1, 1)
    spool.set_aside(row, "in every form")
    assert ids(spool) == taken[1:]
    assert [path.read_bytes() for path in small_disk.glob("bad-*")] == [row[1]]
    assert seen.what == ["spool_bad"]
    others = [occupy(small_disk, "more")]
    for path in small_disk.glob("spool.reserve"):
        path.unlink()
        others.append(occupy(small_disk, "yet more"))
    (row,) = spool.read(1, 1)
    for _ in range(3):
        with pytest.raises((OSError, sqlite3.OperationalError), match=r"space|full"):
            spool.set_aside(row, "in every form")
    assert list(small_disk.glob("*.part")) == []
    assert ids(spool) == taken[1:]
    for other in others:
        other.unlink()
    spool.set_aside(row, "in every form")
    assert len(list(small_disk.glob("bad-*"))) == 2
    assert ids(spool) == taken[2:]
    spool.close()


def test_it_can_be_opened(small_disk: Path) -> None:
    """A restart on a full disk: the shared memory of SQLite needs space before anything can be read."""
    spool = Spool(str(small_disk), 2**30, Seen())
    taken = fill(spool)
    spool.remove(spool.read(5, 2**30))
    spool.append(some("last"))
    occupy(small_disk)
    spool.close()
    occupy(small_disk, "more")
    subprocess.run([sys.executable, "-c", CLOSER, str(small_disk), str(RESERVE)], cwd=Path.cwd(), check=True)
    spool = Spool(str(small_disk), 2**30, Seen())
    assert ids(spool) == [*taken[5:], "last"]
    spool.remove(spool.read(10_000, 2**30))
    assert ids(spool) == []
    spool.close()


def test_totals_are_those_on_disk(tmp_path: Path) -> None:
    """An append that could not be committed changes no total, nor does a removal."""
    seen = Seen()
    spool = Spool(str(tmp_path), 2**30, seen)
    spool.append(some("a"))
    before = seen.size
    assert spool._db is not None
    spool._db.execute("PRAGMA max_page_count=1")
    with pytest.raises(StoreUnavailableError, match="full"):
        for number in range(100):
            spool.append(some(str(number), raw=b"x" * 5000))
    spool._db.execute("PRAGMA max_page_count=1000000")
    stored = len(ids(spool))
    assert seen.size[0] == stored
    assert seen.size[1] >= before[1]
    spool.close()


def test_a_spool_that_could_not_be_begun_is_begun_later(tmp_path: Path) -> None:
    """The disk is full when a damaged file is replaced: once it has room, the spool works without a restart."""
    spool = Spool(str(tmp_path), 2**30, Seen())
    spool.append(some("a"))
    real = disk_module._SCHEMA
    try:
        disk_module._SCHEMA = ("CREATE TABLE no (", *real)  # any statement that fails
        (tmp_path / "spool.db").rename(tmp_path / "elsewhere")
        for name in ("spool.db-wal", "spool.db-shm"):
            (tmp_path / name).unlink()
        with pytest.raises(StoreUnavailableError):
            spool.append(some("b"))
    finally:
        disk_module._SCHEMA = real
    spool.append(some("c"))
    assert ids(spool) == ["c"]
    spool.close()


def test_no_file_can_be_opened(tmp_path: Path) -> None:
    """Too many open files, or a folder that is gone for a while: 503, never another error; later it works again."""
    spool = Spool(str(tmp_path / "a"), 2**30, Seen())
    spool.append(some("a"))
    (tmp_path / "a").rename(tmp_path / "b")
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            spool.append(some("b"))
        with pytest.raises((sqlite3.Error, OSError)):
            spool.refresh()
    (tmp_path / "b").rename(tmp_path / "a")
    spool.append(some("c"))
    assert ids(spool) == ["a", "c"]
    spool.close()


def test_a_failed_reservation_leaves_no_file(small_disk: Path) -> None:
    """Where there is no room for the reserve, the space it got is given back."""
    spool = Spool(str(small_disk), 2**30, Seen())
    others = occupy(small_disk)
    with pytest.raises(StoreUnavailableError, match="disk is full"):
        spool.append(some("a"))
    assert not (small_disk / "spool.reserve").exists()
    os.truncate(others, 100)
    spool.append(some("a"))
    assert ids(spool) == ["a"]
    spool.close()


def test_other_errors_of_the_reserve(tmp_path: Path) -> None:
    """What is no lack of space is not taken for one: a folder in the file's place, or none at all."""
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "none" / "reserve"):
        with pytest.raises(OSError, match=r"directory"):
            Reserve(path, 10**9).fill()
    read_only = Reserve(Path("/proc/self/cmdline"), 2**20)
    with pytest.raises(OSError):  # which one depends on the kernel
        read_only.fill()


def test_which_errors_mean_a_full_disk() -> None:
    """Those of the system and of SQLite; not a closed connection, which has no code."""
    assert is_out_of_space(OSError(errno.ENOSPC, "no space"))
    assert is_out_of_space(OSError(errno.EDQUOT, "no quota"))
    assert not is_out_of_space(OSError(errno.EACCES, "no access"))
    assert not is_out_of_space(sqlite3.ProgrammingError("closed"))
