"""Writes records as an archive: NDJSON or Parquet."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

from request_logger.archives.records import FIELDS, OBJECTS
from request_logger.common.json import dumps
from request_logger.settings import ARCHIVE_FORMATS

NDJSON, PARQUET = ARCHIVE_FORMATS


@dataclass(frozen=True, slots=True)
class Form:
    """A format: its media type, and the extension of a file's name."""

    media_type: str
    extension: str


FORMS = MappingProxyType(
    {NDJSON: Form("application/x-ndjson", "ndjson"), PARQUET: Form("application/vnd.apache.parquet", "parquet")}
)


def problem(form: str) -> str:
    """Return why a format can't be written here, empty if it can: Parquet needs an optional package."""
    if form == NDJSON or find_spec("pyarrow") is not None:
        return ""
    return 'parquet needs pyarrow, which is not installed: pip install "seldon-request-logger-scoring[export]"'


def write(rows: Iterable[Mapping[str, Any]], form: str) -> bytes:
    """Return a file of some rows, see `Record.row`."""
    return _parquet(rows) if form == PARQUET else b"".join(dumps(row) + b"\n" for row in rows)


def _parquet(rows: Iterable[Mapping[str, Any]]) -> bytes:
    import pyarrow  # noqa: PLC0415  # of an optional extra
    from pyarrow import parquet  # noqa: PLC0415

    kinds = {"bytes": pyarrow.binary(), "statusCode": pyarrow.int32()}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in FIELDS])
    columns: dict[str, list[Any]] = {name: [] for name in FIELDS}
    for row in rows:
        for name, column in columns.items():
            column.append(_cell(name, row.get(name)))
    table = pyarrow.table(columns, schema=schema)
    sink = pyarrow.BufferOutputStream()
    # A dictionary of bodies, of which hardly two are equal, costs time and saves nothing.
    repeated = [name for name in FIELDS if name not in ("id", "requestId", "bytes", "occurrenceTime", "traceparent")]
    parquet.write_table(table, sink, compression="zstd", use_dictionary=repeated)
    return bytes(sink.getvalue())


def _cell(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "bytes":
        return base64.b64decode(value)
    if name in OBJECTS:
        return dumps(value).decode()
    # Parquet has no lone surrogates.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
