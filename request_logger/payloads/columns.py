"""Converts named columns to rows, for V2 bodies with several tensors and for TensorFlow's column form."""

from __future__ import annotations

from typing import Any, NamedTuple

from request_logger.payloads import arrays
from request_logger.payloads.base import DataType, Decoded, Item


class Column(NamedTuple):
    """One tensor of a body: ``array`` is a nested list whose first dimension is the batch, ``found`` its survey."""

    name: str
    array: Any
    found: arrays.Survey

    @property
    def size(self) -> int | None:
        """The number of rows, None if the array is a single value."""
        return len(self.array) if type(self.array) is list else None


def decode(columns: list[Column], fields: dict[str, Any]) -> Decoded:
    """Return columns combined to rows.

    The ``elements`` of a row map every column to its value, ``instance`` lists the values in the columns' order (with a
    single column it is the column's row). A value is a number or text if the column has one per row, else a list.
    Columns of different lengths (as from an object detector) aren't a batch: they become one row of kind ``json`` that
    contains each of them completely.
    """
    names = [column.name for column in columns]
    if len({column.size for column in columns}) > 1 or columns[0].size is None:
        whole = [column.array for column in columns]
        return Decoded("json", [Item(whole, dict(zip(names, whole, strict=True)))], names, fields)
    values = [_values(column) for column in columns]
    rows = columns[0].array if len(columns) == 1 else map(list, zip(*values, strict=True))
    elements = (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))
    return Decoded(_kind(columns), list(map(Item, rows, elements)), names, fields)


def _values(column: Column) -> list[Any]:
    shape = column.found.shape
    rows: list[Any] = column.array
    return [row[0] for row in rows] if shape is not None and len(shape) == 2 and shape[1] == 1 else rows


def _kind(columns: list[Column]) -> DataType:
    kinds = {arrays.data_type(column.found) for column in columns}
    if len(columns) == 1:
        return kinds.pop()
    return "image" if "image" in kinds else "tabular"
