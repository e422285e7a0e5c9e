"""Decodes bodies that are a document's part already, from other loggers: ``dataType`` and ``instance``."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any, cast

from request_logger.payloads import arrays
from request_logger.payloads.base import DataType, Decoded, Item, UndecodableError, columns_in

_TAKEN = frozenset({"dataType", "instance", "elements", "names", "rows", "ce-time", "ce-source"})


class ParsedDecoder:
    """Decodes a body whose ``instance`` is the list of rows, and whose optional ``elements`` lists their elements."""

    def accepts(self, body: dict[str, Any]) -> bool:
        """Return whether a body has both keys; ``dataType`` alone can be an unknown field of another protocol."""
        return "dataType" in body and "instance" in body

    def columns(self, body: dict[str, Any]) -> list[str]:
        """Return the names of the columns, and the keys of rows that are objects."""
        return columns_in(self.decode(body))

    def decode(self, body: dict[str, Any]) -> Decoded:
        """Return the rows; other fields are stored at the part's top level, and there is no payload.

        An instance of kind ``json`` is one row, and so is one that isn't a list.
        """
        kind = body["dataType"]
        if not isinstance(kind, str):
            raise UndecodableError("dataType: expected text")
        instance = body["instance"]
        rows = instance if isinstance(instance, list) and kind != "json" else [instance]
        if not rows:
            raise UndecodableError("instance: no rows")
        elements = body.get("elements")
        per_row = chain(elements, repeat(None)) if isinstance(elements, list) else repeat(elements)
        pairs = zip(rows, per_row, strict=False)
        return Decoded(
            # Like in the original, an unknown kind is stored unchanged.
            cast(DataType, kind),
            [Item(row, values if isinstance(values, dict) else None) for row, values in pairs],
            arrays.column_names(body.get("names")),
            {key: value for key, value in body.items() if key not in _TAKEN},
            has_elements="elements" in body,
            has_payload=False,
        )
