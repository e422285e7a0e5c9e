"""Disk space that is kept back, so that a full disk can still be emptied.

SQLite needs space to delete rows: the deletion is written to its write-ahead log first, and a checkpoint may have to
enlarge the database. On a disk that is full to the last byte nothing could ever be removed, and the same events would
be replayed forever.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
# What SQLite reports when it can't enlarge the database or log, its shared memory, or can't create one of these files.
_NO_SPACE_SQLITE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


class Reserve:
    """A file of ``size`` bytes that may be given up for space. Not thread-safe; its callers hold the spool's lock."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def fill(self) -> bool:
        """Reserve the space unless it is reserved already; return whether it is. Raises OSError other than no space."""
        if self._path.exists() and self._path.stat().st_size >= self._size:
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Not truncate(), which makes a hole that holds no space.
            os.posix_fallocate(file, 0, self._size)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            self.release()
            return False
        finally:
            os.close(file)
        return True

    def release(self) -> None:
        """Give the space up."""
        self._path.unlink(missing_ok=True)


def is_out_of_space(error: OSError | sqlite3.Error) -> bool:
    """Return whether an error may be due to a full disk."""
    if isinstance(error, OSError):
        return error.errno in _NO_SPACE
    return error_code(error) in _NO_SPACE_SQLITE


def error_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, 0 for an error of the Python module, such as a closed connection."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
