"""Cells of a Parquet file as JSON has them: other programs write times, maps and numbers as such. Pure code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from math import isnan
from typing import Any

from request_logger.archives.records import BINARY, TEXTS
from request_logger.common.times import utc_text

_BY_LOWER_NAME = {name.lower(): name for name in (BINARY, *TEXTS)}


def as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a Parquet file with the values that its record would have in NDJSON.

    What no record can have stays as it is, and is an error of its field.
    """
    return {name: _field(_BY_LOWER_NAME.get(name.lower(), ""), value) for name, value in row.items()}


def _field(name: str, value: Any) -> Any:
    if name == BINARY:
        # A list of bytes, as programs write it that have no other type for them.
        is_list = isinstance(value, list) and all(type(item) is int and 0 <= item < 256 for item in value)
        return bytes(value) if is_list else value
    found = _json(value)
    if name and type(found) is int:
        return str(found)
    if name and isinstance(found, bytes):
        return _decoded(found)
    return found


def _json(value: Any) -> Any:
    match value:
        case datetime():
            return utc_text(value if value.tzinfo else value.replace(tzinfo=UTC), "microseconds")
        case date():
            return utc_text(datetime.combine(value, time(), UTC), "microseconds")
        # A column of integers with gaps has floating-point numbers, and NaN.
        case float():
            return int(value) if value.is_integer() else None if isnan(value) else value
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case dict():
            return {key: _json(item) for key, item in value.items()}
        # Of a map; JSON has no tuples.
        case [(_, _), *_] if all(isinstance(item, tuple) for item in value):
            return {_key(key): _json(item) for key, item in value}
        case list():
            return [_json(item) for item in value]
    return value


def _key(key: Any) -> str:
    found = _decoded(key) if isinstance(key, bytes) else key
    return found if isinstance(found, str) else str(_json(found))


def _decoded(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
