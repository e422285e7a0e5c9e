"""JOIN_KEYS: values in requests and responses by which feedback can name its prediction. Pure code.

A key is a path such as ``response.id`` or ``request.metadata.x-request-id``: a part of the stored document, then names
of fields, or positions in lists. Names may contain dots.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from request_logger.common.json import JsonText
from request_logger.common.periods import is_of

KEYS_INDEX = "request-logger-keys"
"""The index of the documents of keys, see documents.key_document; with INDEX_PERIOD there is one per month or day."""
MOST_KEYS = 8
"""Each key is one more small write per prediction that has it."""
MOST_CHARACTERS = 512
"""The longest value that is a key: what a document id may have, too. Longer text is content, not a key."""
# A body chooses how many of its names match the beginnings of a path: with 12 segments a few hundred at most.
_MOST_SEGMENTS = 12
_MOST_PATH_CHARACTERS = 256
_PARTS = ("request", "response")
# Each row of a batch has values of its own here. All else is of the whole batch.
_OF_ROWS = ("elements", "instance")
# Fields whose names are stored in lower case: see event_metadata.
_LOWERED = ("metadata", "annotations")
# Beyond it a double has no exact integer.
_EXACT = 2**53
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class JoinKey:
    """One path of JOIN_KEYS, in the spelling of the stored fields."""

    path: str

    @property
    def part(self) -> str:
        """The part of the document that has the value: request or response."""
        return self.path.partition(".")[0]

    @property
    def field(self) -> str:
        """The path within the part."""
        return self.path.partition(".")[2]

    @property
    def is_of_row(self) -> bool:
        """Whether each row of a batch has a value of its own."""
        return self.field.partition(".")[0] in _OF_ROWS

    def value_in(self, content: Mapping[str, Any]) -> str | None:
        """Return the key's value in the content of a part, as `key_text` writes it; None if it has none."""
        return key_text(_at(content, self.field))


# For each feedback of POST /v1/feedback; a process has one value of JOIN_KEYS.
@lru_cache(maxsize=8)
def parse_join_keys(text: str) -> tuple[JoinKey, ...]:
    """Return the keys of a comma-separated list of paths. Raises ValueError, which says what was expected."""
    paths = [path for path in (entry.strip() for entry in text.split(",")) if path]
    if len(paths) > MOST_KEYS:
        raise ValueError(f"expected at most {MOST_KEYS} paths")
    keys = tuple(JoinKey(_spelled(path)) for path in paths)
    if len(set(keys)) < len(keys):
        raise ValueError("expected each path once")
    return keys


def _spelled(path: str) -> str:
    part, *names = path.split(".")
    if part not in _PARTS or not names or not all(names):
        raise ValueError("expected paths such as request.metadata.x-request-id or response.id")
    if len(names) > _MOST_SEGMENTS or len(path) > _MOST_PATH_CHARACTERS:
        raise ValueError(f"expected paths of at most {_MOST_SEGMENTS} names and {_MOST_PATH_CHARACTERS} characters")
    return path.lower() if names[0] in _LOWERED else path


def is_keys_index(name: str) -> bool:
    """Return whether an index has the documents of keys."""
    return name == KEYS_INDEX or is_of(name, KEYS_INDEX)


def named(keys: Sequence[JoinKey], name: str) -> list[JoinKey]:
    """Return the keys that a name means: a whole path, or the end of one, as ``x-request-id``. One, if it is clear."""
    whole = [key for key in keys if key.path == name]
    return whole or [
        key
        for key in keys
        if key.path.endswith("." + (name.lower() if key.field.partition(".")[0] in _LOWERED else name))
    ]


def key_text(value: Any) -> str | None:
    """Return the text of a key's value: of text and of numbers, with 42, 42.0 and "42" as the same; None for others."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, float):
        if not math.isfinite(value):
            return None
        text = str(int(value)) if value.is_integer() and abs(value) <= _EXACT else repr(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    else:
        return None
    return text if 0 < len(text) <= MOST_CHARACTERS else None


def _at(holder: Any, path: str) -> Any:
    """Return the value at a path; `_NOTHING` if there is none."""
    if isinstance(holder, JsonText):
        holder = holder.parsed()
    if isinstance(holder, list):
        position, _, rest = path.partition(".")
        if not (position.isascii() and position.isdecimal() and len(position) < 10 and int(position) < len(holder)):
            return _NOTHING
        return _at(holder[int(position)], rest) if rest else holder[int(position)]
    if not isinstance(holder, dict):
        return _NOTHING
    if path in holder:
        return holder[path]
    end = path.find(".")
    while end >= 0:
        if path[:end] in holder:
            found = _at(holder[path[:end]], path[end + 1 :])
            if found is not _NOTHING:
                return found
        end = path.find(".", end + 1)
    return _NOTHING
