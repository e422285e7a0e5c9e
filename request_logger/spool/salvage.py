"""Reads the intact records of a damaged spool database, and writes records that can't be replayed to files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from request_logger.spool.record import is_intact

Row = tuple[int, bytes]


def intact_rows(path: Path) -> Iterator[Row]:
    """Yield the rows with a correct checksum: from the oldest up to the damage, then from the newest down to it."""
    seen: set[int] = set()
    for order in ("ASC", "DESC"):
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, isolation_level=None)) as db:
            for number, record in db.execute(f"SELECT id, record FROM events ORDER BY id {order}"):  # noqa: S608
                if number in seen:
                    return
                seen.add(number)
                if isinstance(record, bytes) and is_intact(record):
                    yield number, record


def in_groups(rows: Iterator[Row], max_bytes: int) -> Iterator[list[Row]]:
    """Yield rows in groups of at least ``max_bytes`` of records, except for the last."""
    group: list[Row] = []
    size = 0
    for row in rows:
        group.append(row)
        size += len(row[1])
        if size >= max_bytes:
            yield group
            group, size = [], 0
    if group:
        yield group


def write_durably(path: Path, record: bytes) -> None:
    """Write a file that is on disk, with its name, when this returns. Raises OSError; then there is no such file."""
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            file.write(record)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
