"""Checks that a redacted message may be stored: redaction by name fails closed (REDACT_STRICT).

A message is left out where its decoder can't tell which columns it has, where the schema that may name them is not
known yet, and where a column that a rule names is still there afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from request_logger.ingest.redaction_walk import HASH_CHARACTERS, Action, Walk
from request_logger.payloads import UndecodableError, columns_of, decode_with, decoder_of, is_own
from request_logger.payloads.base import Decoded

NO_COLUMNS = "its decoder can't tell the body's columns, so it can't be redacted: only its size is kept"
NO_SCHEMA = "the schema that may name columns to redact is not known yet: only the size of the body is kept"
STILL_THERE = "a column to redact is in a form that can't be redacted: only the size of the body is kept"

_HEXADECIMAL = frozenset("0123456789abcdef")


class LeftOutError(Exception):
    """The message must not be stored; the text is the reason, one line without values."""


@dataclass(frozen=True, slots=True)
class RedactionCheck:
    """Checks redacted messages against the rules by name and the columns of a schema.

    ``columns`` has the names of each column, empty without a schema; ``is_schema_known`` is False while it is unknown
    whether there is one.
    """

    names: Mapping[str, Action]
    walk: Walk
    columns: Sequence[frozenset[str]] = ()
    is_schema_known: bool = True

    def message(self, message: Any, redacted: Any) -> Any:
        """Return a redacted message in a form that may be stored; ``message`` is the original one.

        Raises LeftOutError.
        """
        decoder = decoder_of(message)
        try:
            decoded = None if decoder is None else decode_with(decoder, message)
        except UndecodableError:
            decoded = None
        if decoder is None or decoded is None:
            # It is stored as received. Its keys were redacted, but not the cells of a table of unknown form that names
            # a column as text, nor those of a broken table of a known form.
            is_broken = decoder is not None and (self._wanted() or not self.is_schema_known)
            if is_broken or _has_text(redacted, self.names):
                raise LeftOutError(NO_COLUMNS)
            return redacted
        columns = columns_of(decoder, message)
        if columns is None:
            raise LeftOutError(NO_COLUMNS)
        if not self.is_schema_known and _has_columns(decoded) and not self.names.keys() <= set(columns):
            raise LeftOutError(NO_SCHEMA)
        wanted = self._wanted()
        if not wanted and self.names.keys().isdisjoint(columns):
            return redacted
        return self._clean(decoder, redacted, wanted)

    def _wanted(self) -> dict[int, Action]:
        found = {}
        for position, names in enumerate(self.columns):
            actions = {self.names[name] for name in names if name in self.names}
            if actions:
                found[position] = max(actions, key=lambda action: action == "drop")
        return found

    def _clean(self, decoder: Any, redacted: Any, wanted: Mapping[int, Action]) -> Any:
        try:
            decoded = decode_with(decoder, redacted)
            if self._is_clean(decoded, wanted):
                return redacted
            if is_own(decoder):
                raise LeftOutError(STILL_THERE)
            # Only the decoder understands this form: its decoded rows are stored instead of the body.
            rows = self.walk.body(_as_parsed(decoded), self.columns)
            found = decoder_of(rows)
            if found is not None and self._is_clean(decode_with(found, rows), wanted):
                return rows
        except UndecodableError:
            pass
        raise LeftOutError(STILL_THERE)

    def _is_clean(self, decoded: Decoded, wanted: Mapping[int, Action]) -> bool:
        by_position = {**(wanted if _has_columns(decoded) else {}), **self._named(decoded.names or ())}
        for item in decoded.items:
            if item.elements and not all(map(self._is_gone, item.elements.values(), item.elements)):
                return False
            row = item.instance if isinstance(item.instance, list) else [item.instance]
            if isinstance(item.instance, dict):
                continue
            if any(position < len(row) and not _is_hidden(row[position]) for position in by_position):
                return False
        return True

    def _named(self, names: Sequence[str]) -> dict[int, Action]:
        return {position: self.names[name] for position, name in enumerate(names) if name in self.names}

    def _is_gone(self, value: Any, name: str) -> bool:
        return name not in self.names or _is_hidden(value)


def is_single(truth: Any) -> bool:
    """Return whether a truth, bare or as a Seldon message, has a single value per row."""
    data = truth.get("data") if isinstance(truth, dict) else None
    rows = data.get("ndarray") if isinstance(data, dict) else truth
    if not isinstance(rows, list):
        return not isinstance(rows, dict)
    return all(not isinstance(row, (list, dict)) or (isinstance(row, list) and len(row) == 1) for row in rows)


def _has_columns(decoded: Decoded) -> bool:
    """Return whether a body can have columns: text, JSON and binary bodies can't."""
    return decoded.has_elements or not decoded.has_payload


def _as_parsed(decoded: Decoded) -> dict[str, Any]:
    """Return rows as a body for the decoder `parsed`, whose parts have no payload."""
    body = {**decoded.fields, "dataType": decoded.data_type, "instance": [item.instance for item in decoded.items]}
    if decoded.names is not None:
        body["names"] = decoded.names
    if decoded.has_elements:
        body["elements"] = [item.elements for item in decoded.items]
    return body


def _is_hidden(value: Any) -> bool:
    """Return whether a cell is null or a hash, or a list of only these."""
    if isinstance(value, list):
        return all(map(_is_hidden, value))
    return value is None or (
        isinstance(value, str) and len(value) == HASH_CHARACTERS and _HEXADECIMAL.issuperset(value)
    )


def _has_text(value: Any, texts: Mapping[str, Any]) -> bool:
    if isinstance(value, dict):
        return any(_has_text(entry, texts) for entry in value.values())
    if isinstance(value, list):
        return any(_has_text(entry, texts) for entry in value)
    return isinstance(value, str) and value in texts
