"""Bodies that are a document's part already: ``dataType`` and ``instance``, as other loggers send them on."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any, cast

from request_logger.payloads import arrays
from request_logger.payloads.base import DataType, Decoded, Item, UndecodableError, columns_in

_TAKEN = frozenset({"dataType", "instance", "elements", "names", "rows", "ce-time", "ce-source"})


class ParsedDecoder:
    """Decodes a body whose ``instance`` is the list of rows and ``elements``, if any, the list of theirs."""

    def accepts(self, body: dict[str, Any]) -> bool:
        """Take a body with both keys; with ``dataType`` alone it is an unknown field of another protocol."""
        return "dataType" in body and "instance" in body

    def columns(self, body: dict[str, Any]) -> list[str]:
        """Return the names of the columns, and the keys of rows that are objects."""
        return columns_in(self.decode(body))

    def decode(self, body: dict[str, Any]) -> Decoded:
        """Return the rows; every other field goes to the part's top, and no payload is kept beside them.

        The instance of kind ``json`` is one row, whatever it is; so is one that is no list.
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
            # A kind of somebody's own is stored as it came, as it always was.
            cast(DataType, kind),
            [Item(row, values if isinstance(values, dict) else None) for row, values in pairs],
            arrays.column_names(body.get("names")),
            {key: value for key, value in body.items() if key not in _TAKEN},
            has_elements="elements" in body,
            has_payload=False,
        )
