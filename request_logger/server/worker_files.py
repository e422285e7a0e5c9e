"""Manages the files in PROMETHEUS_MULTIPROC_DIR: each worker counts in its own, and /metrics adds them up.

The folder may be a mount point or a symbolic link and may contain other programs' files, so only files with
prometheus_client's names are read or removed.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import shutil
import tempfile
from pathlib import Path

from request_logger.settings import SettingsError

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
OTLP_LOCK = "otlp.lock"
"""The file whose lock says which worker sends the metrics to OTEL_EXPORTER_OTLP_ENDPOINT."""
# <type>_<pid>.db, and gauge_<mode>_<pid>.db: see prometheus_client.values.
_OWN_NAME = re.compile(
    r"(?:counter|histogram|summary|gauge_(?:live)?(?:all|min|max|sum|mostrecent))_[0-9]+\.db", re.ASCII
)
# Folders that the program makes itself. The lock is held by its processes, so that those left by a kill -9 can be told.
_PREFIX, _LOCK = "request-logger-metrics-", "owner.lock"


def own_folder() -> str:
    """Create a temporary folder, which is removed at exit, and remove those of processes that were killed."""
    _remove_abandoned(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    new = folder / "new"
    # Its workers inherit the descriptor, and with it the lock. The name comes last: nobody finds the file unlocked.
    fcntl.flock(os.open(new, os.O_CREAT | os.O_WRONLY, 0o600), fcntl.LOCK_EX | fcntl.LOCK_NB)
    new.rename(folder / _LOCK)
    atexit.register(_remove, folder, os.getpid())
    return str(folder)


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(folder / _LOCK, os.O_WRONLY | os.O_NOFOLLOW)
        except OSError:
            # Another user's, or one that is being made.
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            # Its processes run, or the file system has no locks.
            pass
        finally:
            os.close(lock)


def prepare(folder: str) -> None:
    """Create the folder if it is missing, and remove the files of an earlier start.

    Raises SettingsError where it is not a writable folder.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path in own_files(folder):
            path.unlink(missing_ok=True)
        (Path(folder) / OTLP_LOCK).unlink(missing_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or "it can't be used"
        text = f"{VARIABLE}: expected a folder that can be written to ({reason}), found {folder!r}"
        raise SettingsError(text) from None


def own_files(folder: str) -> list[Path]:
    """Return the workers' files in the folder."""
    # os.scandir instead of glob, since the folder's name may contain glob characters.
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if _OWN_NAME.fullmatch(entry.name)]
