"""Applies drops and hashes within a parsed body, in every form in which a message can name a value.

A key of an object is dropped with its value at any depth. The cells of a table's column or a tensor become null, since
positions carry meaning (a dropped column must not give its name to the next). JSON within a string is redacted too.
"""

from __future__ import annotations

import ast
import hashlib
import hmac
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from request_logger.common.json import dumps
from request_logger.payloads import arrays
from request_logger.payloads.seldon import SeldonDecoder

Action = Literal["drop", "hash"]


class Where(NamedTuple):
    """The entries of a list that are objects in which a name has a text as its value."""

    name: str
    value: str


PathStep = str | int | Where | None
"""One step of a path: a name, a position, entries by one of their values, or None for all."""

# 128 bits in hexadecimal, which makes a collision practically impossible.
HASH_CHARACTERS = 32
_HASH = re.compile(rf"[0-9a-f]{{{HASH_CHARACTERS}}}")
# Longer text is not parsed as a Python literal, which would take too long.
_MOST_CHARACTERS = 100_000

_SCALARS = frozenset({int, float, bool, type(None)})
_ROWS = ("ndarray", "instance", "instances", "predictions", "inputs", "outputs", "data")
_RAW_CONTENTS = frozenset({"raw_input_contents", "raw_output_contents", "rawInputContents", "rawOutputContents"})
_TENSORS = ("tensor", "tftensor")


class Hasher:
    """Hashes values with a secret key (HMAC-SHA-256): they can be compared and joined, but not guessed."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, value: Any) -> Any:
        """Return the hash (hex) of a value; lists are hashed per entry, null stays null.

        5, 5.0 and "5" have the same hash, since senders write the same id in each of these forms.
        """
        if value is None:
            return None
        if isinstance(value, list):
            return [self(entry) for entry in value]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
        digest = hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return digest.hexdigest()[:HASH_CHARACTERS]


class HashesKept(Hasher):
    """Hashes values, but leaves hashes as they are: for what was redacted before."""

    def __call__(self, value: Any) -> Any:
        """Return the hash of a value that is none."""
        return value if isinstance(value, str) and _HASH.fullmatch(value) else super().__call__(value)


class Walk:
    """Redacts one body; methods return new values and change nothing in place."""

    def __init__(self, names: Mapping[str, Action], hasher: Hasher) -> None:
        self._names = names
        self._hash = hasher

    def hashed(self, value: Any) -> Any:
        """Return the hash of a value, of a list's entries."""
        return self._hash(value)

    def by_paths(self, value: Any, paths: Iterable[tuple[Sequence[PathStep], Action]]) -> Any:
        """Return a body redacted by paths, which refer to the body as received."""
        for path, done in paths:
            value = self._at(value, path, done)
        return value

    def body(self, value: Any, columns: Sequence[frozenset[str]] = ()) -> Any:
        """Return a body redacted by names; ``columns`` are each column's names in a schema."""
        return self._value(self.by_schema(value, columns))

    def by_schema(self, message: Any, columns: Sequence[frozenset[str]]) -> Any:
        """Return a message without the columns that only a schema names; ``columns`` are each column's names."""
        wanted = {i: action for i, names in enumerate(columns) if (action := self._strongest(names))}
        if not wanted:
            return message
        if isinstance(message, dict):
            return self._by_position(message, wanted, len(columns))
        # A truth may be a single value or a list of rows.
        rows = message if isinstance(message, list) else [message]
        redacted = self._rows(rows, wanted, len(columns))
        return redacted if isinstance(message, list) else redacted[0]

    def _strongest(self, names: Iterable[str]) -> Action | None:
        actions = {self._names[name] for name in names if name in self._names}
        return "drop" if "drop" in actions else "hash" if actions else None

    def _at(self, value: Any, path: Sequence[PathStep], action: Action) -> Any:
        step, rest = path[0], path[1:]
        if isinstance(value, dict) and not isinstance(step, (int, Where)):
            found = {}
            for key, entry in value.items():
                if step is not None and key != step:
                    found[key] = entry
                elif rest:
                    found[key] = self._at(entry, rest, action)
                elif action == "hash":
                    found[key] = self._hash(entry)
            return found
        if isinstance(value, list) and not isinstance(step, str):
            redacted = []
            for i, entry in enumerate(value):
                if not _is_step(step, i, entry):
                    redacted.append(entry)
                else:
                    redacted.append(self._at(entry, rest, action) if rest else self._cell(entry, action))
            return redacted
        return value

    def _cell(self, value: Any, action: Action) -> Any:
        if action == "hash":
            return self._hash(value)
        return [self._cell(entry, action) for entry in value] if isinstance(value, list) else None

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, list):
            return value if _SCALARS.issuperset(map(type, value)) else [self._value(entry) for entry in value]
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "[", '"'):
            return self._embedded(value)
        return value

    def _embedded(self, text: str) -> str:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = self._literal(text)
        if value is None:
            return text
        redacted = self._value(value)
        return text if redacted == value else json.dumps(redacted, ensure_ascii=False)

    def _literal(self, text: str) -> Any:
        """Parse a Python literal, which some servers write; None if it isn't one or contains no redacted name."""
        if len(text) > _MOST_CHARACTERS or not any(name in text for name in self._names):
            return None
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
        return value if isinstance(value, (dict, list)) and _is_json(value) else None

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        tensor = self._names.get(value["name"]) if isinstance(value.get("name"), str) else None
        if tensor and "datatype" in value:
            value = self._tensor(value, tensor)
        columns = _column_names(value)
        wanted = {i: self._names[name] for i, name in enumerate(columns) if name in self._names}
        if wanted:
            value = self._table(value, wanted, len(columns))
        found = {}
        for key, entry in value.items():
            action = self._names.get(key)
            if action is None:
                found[key] = self._value(entry)
            elif action == "hash":
                found[key] = self._hash(entry)
        if not _RAW_CONTENTS.isdisjoint(found) and any(self._is_named(found.get(key)) for key in ("inputs", "outputs")):
            # The raw contents have one binary entry per tensor, which can't be redacted individually.
            return {key: entry for key, entry in found.items() if key not in _RAW_CONTENTS}
        return found

    def _is_named(self, tensors: Any) -> bool:
        return isinstance(tensors, list) and any(
            isinstance(tensor, dict) and tensor.get("name") in self._names for tensor in tensors
        )

    def _tensor(self, tensor: dict[str, Any], action: Action) -> dict[str, Any]:
        """Return a redacted V2 tensor, without its parameters, which describe the original values."""
        found = {key: entry for key, entry in tensor.items() if key not in ("parameters", "contents")}
        data = tensor.get("data")
        if tensor.get("datatype") == "BYTES" and arrays.survey(data).kinds <= {int}:
            # Text as character codes: their individual hashes could be guessed.
            action = "drop"
        if "data" in tensor:
            found["data"] = self._cell(data, action)
        return {**found, "datatype": "BYTES"} if action == "hash" else found

    def _table(self, table: dict[str, Any], wanted: Mapping[int, Action], width: int) -> dict[str, Any]:
        """Return a table (an object with rows and their column names) with its columns redacted."""
        found = dict(table)
        for key in _TENSORS:
            if found.get(key) is not None:
                # A tensor's flat numbers can't hold hashes, so it becomes rows.
                decoded = SeldonDecoder().decode({"data": {key: found.pop(key)}})
                found.setdefault("ndarray", [item.instance for item in decoded.items])
        for key in _ROWS:
            if isinstance(found.get(key), list):
                found[key] = self._rows(found[key], wanted, width)
        return found

    def _rows(self, rows: list[Any], wanted: Mapping[int, Action], width: int) -> list[Any]:
        if not any(isinstance(row, list) for row in rows):
            if width == 1:
                return [self._scalar(value, wanted[0]) for value in rows]
            if len(rows) == width:
                # A single row without the list of rows around it.
                return [self._scalar(value, wanted[i]) if i in wanted else value for i, value in enumerate(rows)]
            # The columns of these values are unknown.
            return [self._scalar(value, "drop") for value in rows]
        return [self._row(row, wanted) if isinstance(row, list) else row for row in rows]

    def _row(self, row: list[Any], wanted: Mapping[int, Action]) -> list[Any]:
        return [self._cell(value, wanted[i]) if i in wanted else value for i, value in enumerate(row)]

    def _scalar(self, value: Any, action: Action) -> Any:
        # An object instead of a row is redacted by its own keys.
        return value if isinstance(value, dict) else self._cell(value, action)

    def _by_position(self, body: dict[str, Any], wanted: Mapping[int, Action], width: int) -> dict[str, Any]:
        """Return a body without the columns that only a schema names."""
        found = dict(body)
        for key in ("inputs", "outputs"):
            tensors = body.get(key)
            if isinstance(tensors, list) and any(isinstance(entry, dict) and "datatype" in entry for entry in tensors):
                found[key] = self._tensors(tensors, wanted, width)
        for key in ("data", "dataframe_split"):
            if isinstance(body.get(key), dict):
                found[key] = self._table(body[key], wanted, width)
        return self._table(found, wanted, width)

    def _tensors(self, tensors: list[Any], wanted: Mapping[int, Action], width: int) -> list[Any]:
        if len(tensors) > 1:
            # One tensor per column, or fewer where a group of columns is one tensor: then any of them may be meant.
            aligned = len(tensors) == width
            strongest: Action = "drop" if "drop" in wanted.values() else "hash"
            actions = [wanted.get(i) if aligned else strongest for i in range(len(tensors))]
            return [
                self._tensor(tensor, action) if action and isinstance(tensor, dict) else tensor
                for tensor, action in zip(tensors, actions, strict=True)
            ]
        tensor = dict(tensors[0])
        data = tensor.get("data")
        if isinstance(data, list):
            # A tensor has one datatype and hashes are text, so its columns can only be dropped.
            dropped: dict[int, Action] = dict.fromkeys(wanted, "drop")
            if any(isinstance(row, list) for row in data):
                tensor["data"] = self._rows(data, dropped, width)
            else:
                tensor["data"] = [None if i % width in dropped else value for i, value in enumerate(data)]
        return [tensor]


def _is_step(step: PathStep, position: int, entry: Any) -> bool:
    if isinstance(step, Where):
        return isinstance(entry, dict) and entry.get(step.name) == step.value
    return step is None or step == position


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(entry) for key, entry in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, (str, int, float))


def _column_names(value: Mapping[str, Any]) -> list[str]:
    names = arrays.column_names(value.get("names"))
    if not names and isinstance(value.get("data"), dict):
        # A body in another protocol's form may keep the names of a Seldon message.
        names = arrays.column_names(value["data"].get("names"))
    if not names and isinstance(value.get("data"), list):
        # MLflow's data frames name their columns here.
        names = arrays.column_names(value.get("columns"))
    if not names and "instance" in value:
        elements = value.get("elements")
        first = elements[0] if isinstance(elements, list) and elements else elements
        names = list(first) if isinstance(first, dict) else None
    return names or []


def written(value: Any) -> bytes:
    """Return a redacted body as JSON; non-finite numbers as NaN or Infinity, which common parsers accept."""
    return dumps(value) if _is_plain(value) else json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _is_plain(value: Any) -> bool:
    """Return whether all numbers of a value are finite."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return all(map(_is_plain, value)) if isinstance(value, list) else True
