"""The files of an upload: its progress, from which an interrupted one continues, and the rows that need attention."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from request_logger.common.json import dumps, literal, loads
from request_logger.common.times import now
from request_logger.errors import CommandError
from request_logger.upload.client import Fate, Verdict


@dataclass(slots=True)
class Counts:
    """Rows by fate."""

    fates: dict[Fate, int] = field(default_factory=lambda: dict.fromkeys(Fate, 0))

    def add(self, fate: Fate) -> None:
        """Count a row."""
        self.fates[fate] += 1

    @property
    def rows(self) -> int:
        """Rows whose fate is known."""
        return sum(self.fates.values())

    @property
    def accepted(self) -> int:
        """Rows that are stored, whether their prediction is known or not."""
        return self.rows - self.rejected

    @property
    def rejected(self) -> int:
        """Rows that are not stored."""
        return self.fates[Fate.REJECTED]


class Fingerprint:
    """A digest of all rows so far: the same file has the same one after the same number of rows."""

    def __init__(self, about: Sequence[Any]) -> None:
        self._digest = hashlib.blake2b(dumps(about), digest_size=16)

    def add(self, row: bytes) -> None:
        """Add a row."""
        self._digest.update(b"%d:" % len(row))
        self._digest.update(row)

    def text(self) -> str:
        """Return the digest of the rows so far."""
        return self._digest.hexdigest()


class State:
    """The progress of an upload in a file; without a ``path`` it is only in memory.

    ``started`` is the time of the first attempt. Raises CommandError for a file that isn't a state.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.started = now()
        self.counts = Counts()
        self.fingerprint = ""
        self.rejects_bytes = 0
        if path is None:
            return
        try:
            kept = loads(path.read_bytes())
        except FileNotFoundError:
            return
        except OSError as error:
            raise CommandError(f"{path}: can't be read: {error.strerror or error}") from None
        except ValueError:
            kept = None
        try:
            self._read(kept)
        except (TypeError, KeyError, ValueError):
            raise CommandError(f"{path}: expected the state of an upload: remove it to start over") from None

    def _read(self, kept: Any) -> None:
        fates = {fate: kept["rows"][fate.value] for fate in Fate}
        texts, numbers = (kept["started"], kept["fingerprint"]), (*fates.values(), kept["rejects_bytes"])
        if not all(isinstance(text, str) for text in texts) or not all(isinstance(n, int) and n >= 0 for n in numbers):
            raise ValueError
        self.started, self.fingerprint, self.rejects_bytes = *texts, kept["rejects_bytes"]
        self.counts = Counts(fates)

    def save(self) -> None:
        """Write the file, replacing the previous one at once. Raises CommandError."""
        if self.path is None:
            return
        content = {
            "rows": {fate.value: count for fate, count in self.counts.fates.items()},
            "started": self.started,
            "fingerprint": self.fingerprint,
            "rejects_bytes": self.rejects_bytes,
        }
        write_state(self.path, content)

    def forget(self) -> None:
        """Remove the file: the upload is complete."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def write_state(path: Path, content: Mapping[str, Any]) -> None:
    """Write a state file, replacing the previous one at once. Raises CommandError."""
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            file.write(dumps(content))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise CommandError(
            f"{path}: can't be written: {error.strerror or error}; name another file with --state"
        ) from None


class Rejects:
    """The file with the rows that are rejected or have no known prediction, as NDJSON; made at the first of them.

    It keeps its first ``size`` bytes; the rest, of rows whose fate was not saved, is written again.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        try:
            if size and path.exists():
                self.size = min(size, path.stat().st_size)
                os.truncate(path, self.size)
            else:
                self.size = 0
                path.unlink(missing_ok=True)
        except OSError as error:
            raise self._failed(error) from None

    def add(self, line: int, verdict: Verdict, feedback: Mapping[str, Any] | None) -> None:
        """Add a row; ``feedback`` is what was sent. Raises CommandError."""
        entry: dict[str, Any] = {"line": line, "result": verdict.fate.value}
        if verdict.error:
            entry["error"] = verdict.error
        if feedback is not None:
            entry["feedback"] = feedback
        try:
            if self._file is None:
                self._file = self.path.open("ab")
            self.size += self._file.write(literal(entry) + b"\n")
        except OSError as error:
            raise self._failed(error) from None

    def flush(self) -> None:
        """Hand what was added to the operating system. Raises CommandError."""
        try:
            if self._file is not None:
                self._file.flush()
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _failed(self, error: OSError) -> CommandError:
        return CommandError(f"{self.path}: can't be written: {error.strerror or error}; name another with --rejects")
