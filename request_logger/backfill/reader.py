"""Reads the events of one archive, one at a time: a file of any size takes the memory of a few.

A value that can't be read is yielded as an error, so that it doesn't keep the others from being stored.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from request_logger.archives.records import FIELDS, Record, is_record, record_of
from request_logger.backfill.cells import as_json
from request_logger.common.times import as_timestamp, time_key, utc_text
from request_logger.documents.envelope import parse_array, parse_structured
from request_logger.documents.event import BadEventError, Event, from_structured, kind_of
from request_logger.settings import Settings
from request_logger.upload.tables import CSV, PARQUET, open_table

_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
# The longest line: a body of the default MAX_STRUCTURED_BYTES in base64.
_LONGEST_LINE = 32 * 2**20
# KServe's JSON is one array per object of its store, which a batch of the agent fills; it is read whole.
_LONGEST_ARRAY = 64 * 2**20
_TABLES = {".csv": CSV, ".parquet": PARQUET}

Value = dict[str, Any] | BadEventError


class ArchiveError(ValueError):
    """The rest of a file can't be read; the text is one line without the file's name."""


def values(path: Path) -> Generator[tuple[int, Value], None, None]:
    """Yield the line (in a table or an array its number, from 1) and the value of each entry of a file.

    Raises ArchiveError where the rest can't be read.
    """
    form = _TABLES.get(path.suffix.lower())
    try:
        if form is None:
            yield from _text(path)
            return
        csv.field_size_limit(_LONGEST_LINE)
        with open_table(str(path), form) as table:
            # KServe's names, in any case.
            columns = table.columns or ()
            for row in table.rows([name for name in columns if name.lower() in _LOWER_NAMES]):
                value = row.values if table.has_cells else as_json(row.values)
                yield row.line, BadEventError(row.error) if row.error else value
    except (OSError, EOFError, zlib.error) as error:
        raise ArchiveError(f"can't be read: {getattr(error, 'strerror', None) or error}") from None


_LOWER_NAMES = frozenset(name.lower() for name in FIELDS)


def event_of(value: Value, settings: Settings, time: str) -> tuple[Event, str]:
    """Return the event of a value, and by which rules it is redacted already.

    ``time`` is that of an event without one, and decides the index of one whose time can't be read: so it is the same
    at each run. Raises BadEventError and IgnoredEventError.
    """
    event, redacted_by = _event_of(value, settings, time)
    if time_key(event.time) is None:
        event.timestamp = as_timestamp(time)
    return event, redacted_by


def _event_of(value: Value, settings: Settings, time: str) -> tuple[Event, str]:
    if isinstance(value, BadEventError):
        raise value
    if is_record(value):
        record: Record = record_of(value)
        return record.event(settings, time), record.redacted_by
    if "type" not in value and "specversion" not in value:
        raise BadEventError("reqType, type: expected a record of KServe, or a CloudEvent in structured mode")
    return from_structured(value if value.get("time") else {**value, "time": time}, settings), ""


def written_at(path: Path) -> str:
    """Return when a file was written, as the time of its events without one: the same at each run."""
    try:
        moment = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        moment = datetime.fromtimestamp(0, UTC)
    return utc_text(moment, "milliseconds")


def _text(path: Path) -> Iterator[tuple[int, Value]]:
    with path.open("rb") as file:
        if file.peek(2)[:2] != _MAGIC:
            yield from _json(file)
            return
        inflated = _Inflated(file)
        with io.BufferedReader(inflated) as reader:
            try:
                yield from _json(reader)
            except ArchiveError:
                if inflated.problem is None:
                    raise
        if inflated.problem is not None:
            raise inflated.problem


class _Inflated(io.RawIOBase):
    """The content of a gzip file up to the place where it is damaged; ``problem`` says how it is."""

    def __init__(self, file: io.BufferedReader[Any]) -> None:
        self.problem: Exception | None = None
        self._file = gzip.GzipFile(fileobj=file)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.problem is None:
            try:
                # One read at most: what was inflated before the error is returned.
                return self._file.readinto1(buffer)
            except (OSError, EOFError, zlib.error) as error:
                self.problem = error
        return 0


def _json(file: io.BufferedReader[Any]) -> Iterator[tuple[int, Value]]:
    start = file.peek(1024).removeprefix(_BOM).lstrip(_SPACE)[:1]
    if start == b"[":
        raw = file.read(_LONGEST_ARRAY + 1)
        if len(raw) > _LONGEST_ARRAY:
            raise ArchiveError(f"expected NDJSON: an array may have at most {_LONGEST_ARRAY:,} bytes")
        yield from enumerate(_array(raw.removeprefix(_BOM)), 1)
    else:
        yield from _lines(file)


def _array(raw: bytes) -> Iterator[Value]:
    try:
        found = parse_array(raw) or parse_structured(raw)
    except BadEventError:
        found = None
    if not isinstance(found, list):
        raise ArchiveError("expected a JSON array")
    yield from map(_object, found)


def _lines(file: io.BufferedReader[Any]) -> Iterator[tuple[int, Value]]:
    number, is_rest = 1, False
    while line := file.readline(_LONGEST_LINE):
        if not line.endswith(b"\n") and len(line) == _LONGEST_LINE:
            if not is_rest:
                yield number, BadEventError(f"expected at most {_LONGEST_LINE:,} bytes in a line")
            is_rest = True
            continue
        text = line.removeprefix(_BOM) if number == 1 else line
        if not is_rest and text.strip():
            try:
                value = parse_structured(text)
            except BadEventError:
                value = None
            yield number, _object(value) if value is not None else BadEventError("expected a JSON object")
        number, is_rest = number + 1, False


def _object(value: Any) -> Value:
    return value if isinstance(value, dict) else BadEventError(f"expected a JSON object, found {kind_of(value)}")
