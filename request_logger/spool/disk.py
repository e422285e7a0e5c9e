"""The spool: a durable queue of events in an SQLite file, shared by all worker processes.

The file is in SPOOL_DIR (WAL, ``synchronous=FULL``). An event is fsynced when `append` returns. SQLite rolls back a
transaction that a crash interrupted; a record that is damaged later fails its CRC-32 check and is set aside. A single
file, instead of a log per process, means one order and one size limit, and nothing to take over from a killed worker.
Concurrent appends of a process share one commit (`commits.py`).

All writes and checkpoints hold an flock. It makes the processes queue instead of letting SQLite poll, and it avoids a
bug of SQLite before 3.51.3, which can damage a WAL that two connections reset and write at the same instant.

An event is removed only after the search engine has acknowledged it. Replaying an event twice is harmless, since every
write is idempotent.

Disk space for removals is reserved (`reserve.py`). While the reserve is in use, nothing is appended.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from request_logger.documents.event import Event
from request_logger.settings import SettingsError
from request_logger.spool.arrivals import SCHEMA as ARRIVALS_SCHEMA
from request_logger.spool.arrivals import Arrivals
from request_logger.spool.commits import Commits, Entry
from request_logger.spool.observer import NullObserver, Observer
from request_logger.spool.record import to_bytes
from request_logger.spool.reserve import Reserve, error_code, is_out_of_space
from request_logger.spool.salvage import in_groups, intact_rows, write_durably
from request_logger.store.changes import StoreUnavailableError

RESERVE_BYTES = 8 * 2**20
"""Disk space reserved for removals: the limit of the WAL's size, since its checkpoint can enlarge the database."""
# Records per transaction while events are copied from a damaged file.
_SALVAGE_BYTES = 8 * 2**20
# Approximate size of a row on disk, in addition to its record.
_ROW_BYTES = 64
_SCHEMA = (
    "PRAGMA auto_vacuum=INCREMENTAL",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=FAST",  # zeroes what a removed record leaves in a page that stays in use
    f"PRAGMA journal_size_limit={RESERVE_BYTES}",
    "CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY AUTOINCREMENT, record BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS totals (id INTEGER PRIMARY KEY, events INTEGER NOT NULL, bytes INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO totals VALUES (1, 0, 0)",
    ARRIVALS_SCHEMA,
)


class EventTooLargeError(StoreUnavailableError):
    """The event can never be spooled: it alone is larger than the spool may be."""

    def __init__(self) -> None:
        super().__init__("the event is larger than SPOOL_MAX_BYTES allows")


class Spool:
    """The events of one folder, in order. Thread-safe; other processes can have it open at the same time."""

    def __init__(
        self,
        directory: str,
        max_bytes: int,
        observer: Observer,
        *,
        spare_bytes: int = 0,
        linger_seconds: float = 0.0,
    ) -> None:
        """Open or create the spool. Raises SettingsError.

        ``max_bytes`` limits the records of all processes. An empty spool keeps up to ``spare_bytes`` of disk space for
        later events: releasing it costs more than the removal of a batch. ``linger_seconds`` is how long an event may
        wait for others, to be committed with them.
        """
        self._folder = Path(directory)
        self._path = self._folder / "spool.db"
        self._log_path = self._folder / "spool.db-wal"
        self._max_bytes = max_bytes
        self._spare_bytes = spare_bytes
        self._arrivals = Arrivals()
        self._observer = observer
        self._mutex = threading.RLock()
        self._commits = Commits(self._commit, linger_seconds)
        self._reserve = Reserve(self._folder / "spool.reserve", RESERVE_BYTES)
        self._db: sqlite3.Connection | None = None
        # False if the file could not be opened, or its tables could not be created: the next use retries that.
        self._is_whole = False
        self._inode = 0
        self._depth = 0
        self._totals = (0, 0)
        self._aside_bytes = 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = os.open(self._folder / "spool.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._with_reserve(self._open)
            except sqlite3.DatabaseError as error:
                self._replace_damaged(error)
            self.refresh()
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(
                f"SPOOL_DIR: expected a folder that can be written, found {directory!r}: {error}"
            ) from None

    @property
    def is_empty(self) -> bool:
        """Whether the spool has no events; those of other processes are counted after the next `refresh`."""
        return self._totals[0] == 0

    @property
    def size(self) -> tuple[int, int]:
        """The number of records, and their bytes, at the latest change or `refresh`."""
        return self._totals

    @property
    def has_room(self) -> bool:
        """Whether an event of typical size (up to 4 KiB) still fits."""
        return self._totals[1] + self._aside_bytes + 2**12 <= self._max_bytes

    def append(self, event: Event) -> None:
        """Add an event; it is on disk when this returns.

        Raises StoreUnavailableError if the spool or the disk is full, or the file can't be written.
        """
        (error,) = self.append_all([event])
        if error is not None:
            raise error

    def append_all(self, events: Sequence[Event]) -> list[StoreUnavailableError | None]:
        """Add events in one transaction, the oldest first; return the error of each, None for those on disk."""
        return self.append_records([to_bytes(event) for event in events])

    def append_records(self, records: Sequence[bytes]) -> list[StoreUnavailableError | None]:
        """Add records of `request_logger.spool.record.frame` as `append_all` adds events."""
        return self._commits.append(records)

    def read(self, max_events: int, max_bytes: int, after: int = 0) -> list[tuple[int, bytes]]:
        """Return the oldest records after number ``after`` with their numbers: at least one if there is one.

        Raises sqlite3.Error and OSError.
        """
        rows: list[tuple[int, bytes]] = []
        size = 0
        with self._reading() as db:
            cursor = db.execute("SELECT id, record FROM events WHERE id > ? ORDER BY id LIMIT ?", (after, max_events))
            for number, record in cursor:
                size += len(record)
                if rows and size > max_bytes:
                    break
                rows.append((number, record))
            cursor.close()
        return rows

    def remove(self, rows: list[tuple[int, bytes]]) -> None:
        """Remove records that were stored. Raises sqlite3.Error and OSError."""
        if not rows:
            return
        try:
            self._with_reserve(lambda: self._delete(rows))
        except sqlite3.DatabaseError as error:
            self._replace_damaged(error)
            raise
        if self.is_empty and _size_of(self._path) + _size_of(self._log_path) > self._spare_bytes:
            self.release()

    def release(self) -> None:
        """Release the disk space of removed records, and what it still has of them. Raises OSError."""
        with self._locked(), suppress(sqlite3.OperationalError):
            db = self._current()
            db.executescript("PRAGMA incremental_vacuum")  # execute() would stop after its first page
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def set_aside(self, row: tuple[int, bytes], reason: str) -> None:
        """Move a record that can't be replayed into its own file. Raises OSError and sqlite3.Error.

        After a crash between the two steps the record is in both places; the next call overwrites the same file.
        """
        path = self._folder / f"bad-{row[0]}-{zlib.crc32(row[1]):08x}.bin"
        self._with_reserve(lambda: write_durably(path, row[1]))
        self.remove([row])
        self._observer.happened("spool_bad", "", f"moved to {path}: {reason}")

    def refresh(self) -> None:
        """Update the totals with the changes of other processes. Raises sqlite3.Error and OSError."""
        with self._reading() as db:
            self._set_totals(db.execute("SELECT events, bytes FROM totals").fetchone())
            self._observer.oldest_event(self._arrivals.oldest_age(db))
            self._aside_bytes = sum(_size_of(path) for path in self._folder.glob("bad-*.bin"))

    def close(self) -> None:
        """Close the spool; later calls raise StoreUnavailableError."""
        with self._locked():
            self._disconnect()
            self._db = None

    def _commit(self, entries: Sequence[Entry]) -> None:
        try:
            try:
                self._insert(entries)
            except sqlite3.DatabaseError as error:
                self._replace_damaged(error)
                self._insert(entries)
        except (sqlite3.Error, OSError) as error:
            for entry in entries:
                entry.error = StoreUnavailableError(f"the spool can't be written: {error}")
        except StoreUnavailableError as error:
            for entry in entries:
                entry.error = error
        finally:
            for entry in entries:
                entry.done = True

    def _insert(self, entries: Sequence[Entry]) -> None:
        inserted: list[Entry] = []
        with self._transaction() as db:
            if not self._reserve.fill():
                raise StoreUnavailableError("the spool's disk is full")
            (free,) = db.execute("SELECT ? - bytes FROM totals", (self._max_bytes - self._aside_bytes,)).fetchone()
            size = 0
            for entry in entries:
                needed = len(entry.record) + _ROW_BYTES
                if size + needed > free:
                    is_too_large = needed > self._max_bytes
                    entry.error = EventTooLargeError() if is_too_large else StoreUnavailableError("the spool is full")
                    continue
                number = db.execute("INSERT INTO events (record) VALUES (?)", (entry.record,)).lastrowid
                if not inserted:
                    self._arrivals.added(db, int(number or 0))
                inserted.append(entry)
                size += needed
            if inserted:
                self._add(db, len(inserted), size)
        for entry in inserted:
            entry.error = None
        self._observer.spooled(len(inserted))

    def _add(self, db: sqlite3.Connection, events: int, size: int) -> None:
        db.execute("UPDATE totals SET events = events + ?, bytes = bytes + ?", (events, size))

    def _delete(self, rows: list[tuple[int, bytes]]) -> None:
        with self._transaction() as db:
            # The record is compared, too: numbers restart if a damaged file was replaced since the rows were read.
            removed = [
                row for row in rows if db.execute("DELETE FROM events WHERE id = ? AND record = ?", row).rowcount
            ]
            self._add(db, -len(removed), -sum(len(record) + _ROW_BYTES for _, record in removed))
            self._arrivals.forget_removed(db)

    def _with_reserve(self, action: Callable[[], object]) -> None:
        """Run an action that must succeed on a full disk: without space for it, release the reserve and retry."""
        with self._locked():
            try:
                action()
            except (sqlite3.OperationalError, OSError) as error:
                if not is_out_of_space(error):
                    raise
                self._reserve.release()
                if self._db is not None and self._is_whole and _size_of(self._log_path) <= RESERVE_BYTES:
                    # Releases the space of the WAL. The database grows by at most the WAL's size, so the checkpoint of
                    # a larger WAL than the reserve would use up the reserve and then fail.
                    with suppress(sqlite3.OperationalError):
                        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                action()

    def _set_totals(self, totals: tuple[int, int]) -> None:
        self._totals = totals
        self._observer.spool_size(*totals)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._mutex:
            if self._depth == 0:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            try:
                yield self._current()
            except sqlite3.DatabaseError as error:
                self._replace_damaged(error)
                raise

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._locked():
            db = self._current()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                totals = db.execute("SELECT events, bytes FROM totals").fetchone()
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            self._set_totals(totals)

    def _current(self) -> sqlite3.Connection:
        """Return the connection, after opening the file again if another process has replaced a damaged one."""
        if self._db is None:
            raise StoreUnavailableError("shutting down")
        if not self._is_whole or self._inode_now() != self._inode:
            return self._open()
        return self._db

    def _inode_now(self) -> int:
        return self._path.stat().st_ino if self._path.exists() else 0

    def _open(self) -> sqlite3.Connection:
        with self._locked():
            self._disconnect()
            self._db = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False)
            self._inode = self._inode_now()
            for statement in _SCHEMA:
                self._db.execute(statement).fetchall()
            self._is_whole = True
            return self._db

    def _disconnect(self) -> None:
        self._is_whole = False
        if self._db is not None:
            self._db.close()

    def _replace_damaged(self, error: sqlite3.DatabaseError) -> None:
        """Rename a damaged file, and create a new one with the records that can still be read.

        Raises ``error`` if it doesn't indicate damage.
        """
        if error_code(error) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise error
        with self._locked():
            damaged = None
            if self._inode_now() == self._inode:  # otherwise another process has replaced it
                self._disconnect()
                damaged = self._folder / f"bad-{time.time_ns()}.db"
                for suffix in ("-wal", "-shm", ""):
                    path = self._path.with_name(self._path.name + suffix)
                    if path.exists():
                        path.rename(damaged.with_name(damaged.name + suffix))
            self._open()
            if damaged is not None:
                kept = self._salvage(damaged)
                self._observer.happened("spool_bad", "", f"moved to {damaged}: {error}; {kept} of its events are kept")

    def _salvage(self, damaged: Path) -> int:
        """Copy the readable events of a damaged file; return their number."""
        kept = 0
        with suppress(sqlite3.Error):  # if the disk is full, those copied so far are kept
            for rows in in_groups(intact_rows(damaged), _SALVAGE_BYTES):
                with self._transaction() as db:
                    # With their numbers, which keeps their order and lets a process that read them before remove them.
                    db.executemany("INSERT INTO events (id, record) VALUES (?, ?)", rows)
                    self._add(db, len(rows), sum(len(record) + _ROW_BYTES for _, record in rows))
                kept += len(rows)
        return kept


def _size_of(path: Path) -> int:
    """Return a file's size in bytes, 0 if it doesn't exist (any more)."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def check(directory: str) -> None:
    """Check that a folder can hold a spool. Raises SettingsError."""
    Spool(directory, 0, NullObserver()).close()
