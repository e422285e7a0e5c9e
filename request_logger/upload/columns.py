"""Turns a row's columns into one feedback of POST /v1/feedback."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any

import orjson

from request_logger.common.json import parse_leniently
from request_logger.payloads.otel_evaluations import records
from request_logger.upload.tables import Table, TableError, listed

ID, KEY, TRUTH, REWARD, TIME = "request_id", "key", "truth", "reward", "time"
KEY_COLUMN = "key."
"""A field of this name and the name of a join key has the key's value, as in CSV sent to POST /v1/feedback."""
VALUES = frozenset((TRUTH, "truths", REWARD, "prediction", "predictions", "metrics", "evaluations"))
"""A cell of one of these fields is JSON if it can be read as such: 1 is a number, setosa a text."""
# A boolean or a number; as a cell it is text, which the logger reads as well.
_THUMB = "thumb"


class RowError(ValueError):
    """A row can't be sent; the text names the column and what was expected, never the value."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns have which fields; without any, the columns have the names of the fields themselves."""

    fields: Mapping[str, str] = field(default_factory=dict)
    """field -> column"""
    text: bool = False
    """Whether a truth in a CSV is text, even if it is JSON."""

    def wanted(self, table: Table, known: tuple[str, ...]) -> tuple[str, ...]:
        """Return the table's columns that are sent; ``known`` are all fields. Raises TableError for others."""
        columns = table.columns
        if columns is None:
            return ()
        if not self.fields:
            unknown = [name for name in columns if name not in known and not name.startswith(KEY_COLUMN)]
            if unknown:
                raise TableError(
                    f"{table.name}: no field is named {listed(unknown)}: name the columns to send with --id, --key, "
                    "--truth, --reward or --time"
                )
            return columns
        for name in self.fields.values():
            if name not in columns:
                raise TableError(f"{table.name}: no column is named {name}: there are {listed(columns)}")
        return tuple(dict.fromkeys(self.fields.values()))

    def feedback(self, values: Mapping[str, Any], *, cells: bool) -> dict[str, Any]:
        """Return the feedback of a row; ``cells`` says that its values are cells of CSV. Raises RowError.

        OpenTelemetry's evaluation events are sent as they are: their fields are not those of feedback.
        """
        if not self.fields and not cells and records(dict(values)) is not None:
            return {name: _plain(name, value) for name, value in values.items()}
        found: dict[str, Any] = {}
        keys: dict[str, Any] = {}
        for name, column in self.fields.items() if self.fields else zip(values, values, strict=True):
            value = self._value(name, column, values.get(column), cells)
            is_key = name.startswith(KEY_COLUMN)
            if value is not None:
                (keys if is_key else found)[name.removeprefix(KEY_COLUMN) if is_key else name] = value
            elif is_key and self.fields:
                raise RowError(f"{column}: expected a value of the join key")
        return {**found, KEY: keys} if keys else found

    def _value(self, name: str, column: str, value: Any, cells: bool) -> Any:
        """Return the value of a field as JSON has it, None if it is missing. Raises RowError."""
        if value is None:
            return None
        is_key = name.startswith(KEY_COLUMN) or (name == KEY and not cells)
        if not cells:
            return _plain(column, value) if is_key or name in VALUES or name == _THUMB else _text(column, value)
        is_text = is_key or name not in VALUES or (self.text and name == TRUTH)
        return _checked(column, value) if is_text else _cell(column, value)

    def as_columns(self, error: str) -> str:
        """Return an error of the logger with the column's name, where a field's name differs from it."""
        name, colon, rest = error.partition(":")
        column = self.fields.get(name, name)
        return f"{column} ({name}){colon}{rest}" if column != name else error


def _cell(column: str, cell: str) -> Any:
    try:
        orjson.loads(cell)
    except ValueError:
        return _checked(column, cell)
    # Whole numbers of any size stay exact.
    return parse_leniently(cell)


def _checked(column: str, text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise RowError(f"{column}: expected text in UTF-8") from None
    return text


def _text(column: str, value: Any) -> str | None:
    """Return an id, a name or a time as text. A number with a fraction isn't an id: 17.0 is another text than 17."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return _checked(column, value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    raise RowError(f"{column}: expected text or a whole number")


def _plain(column: str, value: Any) -> Any:
    """Return a value of Parquet or JSON as JSON has it; None for a missing one, which pandas writes as NaN."""
    if isinstance(value, float):
        if math.isinf(value):
            raise RowError(f"{column}: expected a finite number")
        return None if math.isnan(value) else value
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise RowError(f"{column}: expected a finite number")
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (list, tuple)):
        return [_plain(column, entry) for entry in value]
    if isinstance(value, dict):
        return {str(name): _plain(column, entry) for name, entry in value.items()}
    if isinstance(value, (datetime, date, time_of_day)):
        return value.isoformat()
    raise RowError(f"{column}: expected numbers, text, booleans, lists or objects")
