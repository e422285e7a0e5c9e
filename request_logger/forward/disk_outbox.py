"""Messages that wait on disk, in the subfolder ``forward`` of SPOOL_DIR: a killed process loses none of them.

All processes of a server add to one spool, and the one that holds the lock file sends from it. A message is removed
some time after it was sent, many at once: one that was sent before a crash may be sent again.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from request_logger.forward.message import Message, from_record, to_record
from request_logger.spool import EventTooLargeError, Spool
from request_logger.spool.observer import NullObserver

FOLDER = "forward"
# The messages read ahead: as many as are sent in some tenths of a second, and a few MB of memory.
_READ_AT_ONCE = 200
_READ_BYTES = 4 * 2**20
# Each removal is an fsync. Sent messages are removed when so many have been, or after this time.
_REMOVE_AT_ONCE = 500
_REMOVE_SECONDS = 0.5
# How often a process looks whether the one that sends has ended.
_LOCK_SECONDS = 1.0
# After a disk that can't be written, or a spool that is full.
_RETRY_SECONDS = 1.0
# An empty spool keeps this space on disk, instead of releasing it after each removal.
_SPARE_BYTES = 16 * 2**20


class _Observer(NullObserver):
    """Notes the age of the oldest message, and passes incidents on."""

    def __init__(self, happened: Callable[[str, str, str], None]) -> None:
        self.age = 0.0
        self._happened = happened

    def oldest_event(self, age: float) -> None:
        self.age = age

    def happened(self, what: str, index: str, reason: str) -> None:
        self._happened(what, index, reason)


class DiskOutbox:
    """The waiting messages of all processes of a server. Used by one thread of each."""

    held_bytes = 0
    """Memory of waiting messages: only those that are read ahead, and in flight."""

    def __init__(
        self,
        folder: str,
        max_bytes: int,
        dropped: Callable[[], None],
        happened: Callable[[str, str, str], None],
    ) -> None:
        """Open the spool. ``dropped`` is called for each message that can never be added. Raises SettingsError."""
        self._observer = _Observer(happened)
        self._spool = Spool(str(Path(folder) / FOLDER), max_bytes, self._observer, spare_bytes=_SPARE_BYTES)
        self._dropped = dropped
        # The kernel releases the lock of a dead process.
        path = Path(folder) / FOLDER / "send.lock"
        self._lock_file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._holds_lock = False
        self._lock_at = self._add_at = self._remove_at = 0.0
        self._after = 0
        self._read: deque[tuple[int, bytes]] = deque()
        # Records that were taken and not removed: their numbers, since the spool still has them.
        self._taken: dict[int, bytes] = {}
        self._done: list[tuple[int, bytes]] = []

    def add(self, messages: Sequence[Message]) -> list[Message]:
        """Write messages to the disk in one transaction; return those for which there is no room now."""
        now = time.monotonic()
        if not messages or now < self._add_at:
            return list(messages)
        errors = self._spool.append_records([to_record(message) for message in messages])
        left = []
        for message, error in zip(messages, errors, strict=True):
            if isinstance(error, EventTooLargeError):
                self._dropped()
            elif error is not None:
                left.append(message)
        if left:
            self._add_at = now + _RETRY_SECONDS
        return left

    def next(self) -> tuple[int, Message] | None:
        """Return the oldest message that was not returned yet, with its number; None if another process sends them.

        Raises sqlite3.Error and OSError.
        """
        if not self._lock():
            return None
        while True:
            if not self._read and not self._read_on():
                return None
            row = self._read.popleft()
            if row[0] in self._taken:
                continue
            message = self._message(row)
            if message is not None:
                return row[0], message

    def get(self, number: int) -> Message | None:
        """Return a message that `next` has returned and that is to be sent again.

        Raises sqlite3.Error and OSError.
        """
        rows = self._spool.read(1, _READ_BYTES, after=number - 1)
        if not rows or rows[0][0] != number:
            self._taken.pop(number, None)
            return None
        return self._message(rows[0])

    def put_back(self, number: int) -> None:
        """Release the memory of a message that is to be sent again."""
        self._taken[number] = b""

    def remove(self, number: int) -> None:
        """Remove a message that needs no further attempt, by the next `settle` or a later one."""
        self._done.append((number, self._taken[number]))

    def settle(self, *, now: bool = False) -> None:
        """Remove messages from the disk, many at once. Raises sqlite3.Error and OSError."""
        if not self._done or not (now or len(self._done) >= _REMOVE_AT_ONCE or time.monotonic() >= self._remove_at):
            return
        self._spool.remove(self._done)
        for number, _ in self._done:
            self._taken.pop(number, None)
        self._done = []
        self._remove_at = time.monotonic() + _REMOVE_SECONDS

    def waiting(self) -> tuple[int, int, float]:
        """Return how many messages wait, their bytes, and the age of the oldest; zeros where another process sends.

        Raises sqlite3.Error and OSError.
        """
        self._spool.refresh()
        if not self._lock():
            return 0, 0, 0.0
        return (*self._spool.size, self._observer.age)

    def close(self) -> None:
        """Remove what was sent, and let another process send the rest. Raises sqlite3.Error and OSError."""
        try:
            self.settle(now=True)
        finally:
            self._spool.close()
            os.close(self._lock_file)

    def _read_on(self) -> bool:
        """Read the next records; after the last one, begin at the first that was not taken."""
        self._read.extend(self._spool.read(_READ_AT_ONCE, _READ_BYTES, after=self._after))
        if self._read:
            self._after = self._read[-1][0]
        elif self._spool.size[0] > len(self._taken):
            # A file that replaced a damaged one may have lower numbers.
            self._after = 0
        return bool(self._read)

    def _message(self, row: tuple[int, bytes]) -> Message | None:
        """Return a record's message, None after setting a damaged record aside."""
        try:
            message = from_record(row[1])
        except ValueError as error:
            self._taken.pop(row[0], None)
            self._spool.set_aside(row, type(error).__name__)
            return None
        self._taken[row[0]] = row[1]
        return message

    def _lock(self) -> bool:
        """Take the lock for good; return False if another process holds it."""
        now = time.monotonic()
        if not self._holds_lock and now >= self._lock_at:
            self._lock_at = now + _LOCK_SECONDS
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._holds_lock = True
        return self._holds_lock
