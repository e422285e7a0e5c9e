"""Reserved disk space, so that events can be removed from the spool on a full disk.

SQLite needs space to delete rows: the deletion is written to its write-ahead log first, and a checkpoint may have to
enlarge the database. On a completely full disk nothing could be removed, and the same events would be replayed forever.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
# Reported by SQLite when it can't enlarge the database, the log or its shared memory, or can't create one of the files.
_NO_SPACE_SQLITE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


class Reserve:
    """A file of ``size`` bytes that is deleted when its space is needed.

    Not thread-safe: the caller holds the spool's lock.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size

    def fill(self) -> bool:
        """Reserve the space if it isn't yet; return whether it is reserved. Raises OSError, except for a full disk."""
        if self._path.exists() and self._path.stat().st_size >= self._size:
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Not truncate(), which creates a sparse file that reserves nothing.
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
        """Release the space."""
        self._path.unlink(missing_ok=True)


def is_out_of_space(error: OSError | sqlite3.Error) -> bool:
    """Return whether an error may be due to a full disk."""
    if isinstance(error, OSError):
        return error.errno in _NO_SPACE
    return error_code(error) in _NO_SPACE_SQLITE


def error_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, 0 for an error of Python's module, such as a closed connection."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
