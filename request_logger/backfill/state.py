"""The progress of a backfill, from which an interrupted one continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from request_logger.common.json import loads
from request_logger.errors import CommandError
from request_logger.upload.state import write_state


class Fate(Enum):
    """The result of storing an entry of an archive."""

    STORED = "stored"
    LEFT_OUT = "left out"
    """Of a kind that isn't stored, or not in the sample."""
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the archives: after so many entries of a file."""

    file: str = ""
    entries: int = 0


@dataclass(slots=True)
class Counts:
    """Entries by fate, and files of which a part could not be read."""

    fates: dict[Fate, int] = field(default_factory=lambda: dict.fromkeys(Fate, 0))
    bad_files: int = 0

    @property
    def entries(self) -> int:
        """Entries whose fate is known."""
        return sum(self.fates.values())

    @property
    def is_good(self) -> bool:
        """Whether nothing is rejected."""
        return not self.fates[Fate.REJECTED] and not self.bad_files


class State:
    """Position and counts in a file. ``about`` says which backfill it is of.

    Raises CommandError for a file that isn't a state, or that of another backfill.
    """

    def __init__(self, path: Path, about: Sequence[str]) -> None:
        self.path = path
        self.position = Position()
        self.counts = Counts()
        self._about = list(about)
        try:
            kept = loads(path.read_bytes())
            if kept["about"] != self._about:
                raise CommandError(f"{path}: is the state of another backfill: remove it, or name another with --state")
            self._read(kept)
        except FileNotFoundError:
            return
        except OSError as error:
            raise CommandError(f"{path}: can't be read: {error.strerror or error}") from None
        except (TypeError, KeyError, ValueError):
            raise CommandError(f"{path}: expected the state of a backfill: remove it to start over") from None

    def _read(self, kept: Any) -> None:
        fates = {fate: kept["entries"][fate.value] for fate in Fate}
        numbers = (*fates.values(), kept["bad_files"], kept["position"])
        if not isinstance(kept["file"], str) or not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError
        self.position = Position(kept["file"], kept["position"])
        self.counts = Counts(fates, kept["bad_files"])

    def save(self) -> None:
        """Write the file, replacing the previous one at once. Raises CommandError."""
        content = {
            "about": self._about,
            "file": self.position.file,
            "position": self.position.entries,
            "entries": {fate.value: count for fate, count in self.counts.fates.items()},
            "bad_files": self.counts.bad_files,
        }
        write_state(self.path, content)

    def forget(self) -> None:
        """Remove the file: the backfill is complete."""
        self.path.unlink(missing_ok=True)
