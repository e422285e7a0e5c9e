"""Decodes MLflow's data frames: ``dataframe_split`` and ``dataframe_records``. Its other forms are TensorFlow's."""

from __future__ import annotations

from typing import Any

from request_logger.payloads import arrays
from request_logger.payloads.base import Decoded, Item, UndecodableError, columns_in

_SPLIT, _RECORDS = "dataframe_split", "dataframe_records"


class MLflowDecoder:
    """Decodes a data frame to a row per entry, with the frame's column names."""

    def accepts(self, body: dict[str, Any]) -> bool:
        """Return whether a body has one of the two keys."""
        return _SPLIT in body or _RECORDS in body

    def columns(self, body: dict[str, Any]) -> list[str]:
        """Return the names of the columns, and the keys of rows that are objects."""
        return columns_in(self.decode(body))

    def decode(self, body: dict[str, Any]) -> Decoded:
        """Return the rows; the body's other fields, such as ``params``, are stored at the part's top level."""
        if _SPLIT in body:
            return _split(body[_SPLIT], arrays.other_fields(body, _SPLIT))
        return _records(body[_RECORDS], arrays.other_fields(body, _RECORDS))


def _split(frame: Any, fields: dict[str, Any]) -> Decoded:
    if not isinstance(frame, dict) or not isinstance(frame.get("data"), list):
        raise UndecodableError(f"{_SPLIT}: expected an object with columns and data")
    return arrays.rows_of(frame["data"], frame.get("columns"), _SPLIT, fields, as_floats=False)


def _records(records: Any, fields: dict[str, Any]) -> Decoded:
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UndecodableError(f"{_RECORDS}: expected a list of objects")
    if not records:
        raise UndecodableError(f"{_RECORDS}: no rows")
    names = list(dict.fromkeys(name for record in records for name in record))
    items = [Item([record.get(name) for name in names], record) for record in records]
    kinds = frozenset(type(value) for item in items for value in item.instance)
    kind = arrays.data_type(arrays.Survey((len(items), len(names)), [], kinds))
    return Decoded(kind, items, names, fields)
