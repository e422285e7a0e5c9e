"""Reads many feedbacks from one body of ``POST /v1/feedback``: a JSON array, NDJSON (one object per line), CSV, or
OpenTelemetry's log records.

A value that can't be read is yielded as a BadEventError, so that it doesn't keep the others from being stored.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import orjson

from request_logger.common.json import parse_leniently
from request_logger.documents.event import BadEventError
from request_logger.ingest.memory_budget import Budget
from request_logger.server.batch_elements import elements
from request_logger.server.feedback_evaluations import of_logs
from request_logger.upload.columns import KEY_COLUMN, VALUES

CSV = "text/csv"
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")


def read(raw: bytes, media_type: str, budget: Budget) -> Iterator[object] | None:
    """Return the feedbacks of a body: JSON as bytes or parsed, or the error of one; None if the body is one object.

    Raises BadEventError for a body that can't be read at all; iterating raises what `elements` raises.
    """
    if media_type == CSV:
        return _csv(raw)
    if media_type in NDJSON:
        return _lines(raw)
    return elements(raw, budget) if raw.lstrip(b" \t\r\n")[:1] == b"[" else of_logs(raw)


def _lines(raw: bytes) -> Iterator[object]:
    """Yield each line that isn't blank."""
    return (line for line in io.BytesIO(raw.removeprefix(b"\xef\xbb\xbf")) if line.strip())


def _csv(raw: bytes) -> Iterator[object]:
    # Decoded piece by piece. Not with universal newlines: a quoted cell may have any.
    rows = csv.reader(io.TextIOWrapper(io.BytesIO(raw), "utf-8-sig", newline=""), strict=True)
    try:
        names = [name.strip() for name in next(rows, [])]
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadEventError(f"body: expected CSV in UTF-8 with a line of field names ({_why(error)})") from None
    if not names or not all(names):
        raise BadEventError("body: expected CSV with a line of field names, such as request_id,truth")
    if len(set(names)) < len(names):
        raise BadEventError("body: expected each column once in the line of field names")
    return _rows(rows, names)


def _rows(rows: Iterator[list[str]], names: list[str]) -> Iterator[object]:
    while True:
        try:
            cells = next(rows, None)
        except (csv.Error, UnicodeDecodeError) as error:
            # Where the next row starts is unknown.
            yield BadEventError(f"body: expected CSV in UTF-8 ({_why(error)}); the rest was not read")
            return
        if cells is None:
            return
        if not any(cells):
            continue
        if len(cells) != len(names):
            yield BadEventError(f"body: expected {len(names)} cells, found {len(cells)}")
            continue
        yield _object({name: cell for name, cell in zip(names, cells, strict=True) if cell})


def _object(cells: dict[str, str]) -> dict[str, object]:
    """Return the feedback in a row: a column ``key.NAME`` is the value of the join key NAME."""
    keys = {name.removeprefix(KEY_COLUMN): cell for name, cell in cells.items() if name.startswith(KEY_COLUMN)}
    fields = {name: _value(name, cell) for name, cell in cells.items() if not name.startswith(KEY_COLUMN)}
    return {**fields, "key": keys} if keys else fields


def _why(error: Exception) -> str:
    """Return what is wrong, without the content."""
    return "another encoding" if isinstance(error, UnicodeDecodeError) else str(error)


def _value(name: str, cell: str) -> object:
    """Return a cell's value: JSON in a column of values, if it is JSON, else the text."""
    if name not in VALUES:
        return cell
    try:
        orjson.loads(cell)
    except ValueError:
        return cell
    # Whole numbers of any size stay exact.
    return parse_leniently(cell)
