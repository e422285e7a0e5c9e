"""Finds the files of archives, in an order that is the same at each run."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from request_logger.errors import CommandError

_GZIP = ".gz"
_LINES = (".ndjson", ".jsonl", ".json")
_TABLES = (".csv", ".parquet")
SUFFIXES = (*_LINES, *(suffix + _GZIP for suffix in _LINES), *_TABLES)
"""What the names of archives end in."""


def files(paths: Sequence[str]) -> Iterator[Path]:
    """Yield the files that paths name: a file itself, the archives in a directory (recursively), those of a glob.

    Raises CommandError for a path that names none.
    """
    for path in paths:
        found = False
        for name in [path] if Path(path).exists() else sorted(_matches(path)):
            found = True
            yield from _within(Path(name))
        if not found:
            raise CommandError(f"{path}: no such file or directory")


def _matches(pattern: str) -> list[str]:
    # Path.glob takes no absolute pattern.
    return glob.glob(pattern, recursive=True)  # noqa: PTH207


def _within(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, inner, names in os.walk(path):
        # In place: it decides the order in which os.walk goes on.
        inner.sort()
        yield from (Path(folder, name) for name in sorted(names) if name.lower().endswith(SUFFIXES))


def check(paths: Sequence[str]) -> None:
    """Raise CommandError if a path names no archive."""
    for path in paths:
        if next(files([path]), None) is None:
            raise CommandError(f"{path}: expected archives in it, whose names end in {', '.join(SUFFIXES)}")
