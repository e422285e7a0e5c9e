"""Reads the extension attributes of KServe's events: metadata, annotations, component, time of recording and status.

``metadata`` is a JSON object of request headers (name -> list of values), ``annotations`` one of texts; they become
keywords, to split predictions by. Any value is accepted: what can't be indexed is kept as JSON text, within a bound.
Pure code, never raises for a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from request_logger.common.json import dumps, loads
from request_logger.common.mapped_fields import COMPONENT, FAILED_STATUS, STATUS
from request_logger.common.times import as_timestamp, time_key
from request_logger.documents.field_names import to_set_aside

Fields = dict[str, Any]

KINDS = ("metadata", "annotations")
"""The attributes that are objects; the others are single values."""
NAMES = frozenset((*KINDS, "component", "recordedtime", "statuscode"))
"""The CloudEvents attributes that `read_extensions` reads."""
RECORDED = "ce-recordedtime"
UNINDEXED = "metadata_unindexed"
RESERVED = frozenset((COMPONENT, RECORDED, STATUS, UNINDEXED))
"""Fields of a part that only attributes may set, not a body."""
_NAMED_FIELDS = RESERVED.union(KINDS)
EVERYTHING = "*"
"""The value of METADATA_FIELDS that keeps all names."""

# An operator lists the headers to log one by one, so real events have a few; each name is a field of the index.
MOST_NAMES = 50
# Proxies repeat a header once per hop: a few values.
MOST_VALUES = 50
# The limit of names in HTTP is far higher; a field name of more than 50,000 characters fails a whole _bulk request.
MOST_NAME_CHARACTERS = 256
# With 256 cache entries this is 0.5 MB.
_MOST_CACHED_CHARACTERS = 2000
# The server accepts a header of this size: see MOST_HEADER_BYTES in server.master.
MOST_BYTES = 32 * 2**10


def read_extensions(attributes: Mapping[str, Any], wanted: str = EVERYTHING) -> Fields:
    """Return the fields that the attributes of an event add to its part; empty without any.

    ``attributes`` may have JSON values instead of text. ``wanted``: METADATA_FIELDS, globs of names to keep. The fields
    are ``metadata`` and ``annotations`` (name in lower case -> text or list of texts), ``ce-component``,
    ``ce-recordedtime`` and ``ce-statuscode`` (an integer). ``metadata_unindexed`` has the values that can't be indexed,
    by attribute; `with_extensions` converts it to text.
    """
    found: Fields = {}
    others: Fields = {}
    for kind in KINDS:
        value = attributes.get(kind)
        # KServe sends {} or null where there are no headers to log.
        if value in (None, "", "{}", "null"):
            continue
        is_cached = kind == "annotations" and isinstance(value, str) and len(value) <= _MOST_CACHED_CHARACTERS
        named, left = (_read if is_cached else _read.__wrapped__)(kind, value, wanted)
        if named:
            found[kind] = named
        if left:
            others[kind] = left
    found.update(_single_values(attributes, others))
    if others:
        found[UNINDEXED] = others
    return found


# All events of a deployment have the same annotations; metadata mostly has an id of the request.
@lru_cache(maxsize=256)
def _read(kind: str, value: Any, wanted: str) -> tuple[Fields, Any]:
    """Return the values of an attribute to index by name, and what can't be indexed (neither to be modified)."""
    size = _size(value)
    if size > MOST_BYTES:
        return {}, _too_large(size)
    parsed = parsed_attribute(value)
    if isinstance(parsed, dict):
        return _named(kind, parsed, wanted)
    # The names in other text are unknown, so it is unknown whether they are wanted.
    return {}, value if wanted == EVERYTHING else dropped(size, "expected a JSON object")


def with_extensions(content: Fields, extensions: Fields) -> Fields:
    """Return the content of a part, made from a body, with the fields of `read_extensions`.

    A body's own fields of these names give way to them: they become part of ``metadata_unindexed``, under ``body``. Its
    ``metadata`` or ``annotations`` stays if it is an object and the event has none.
    """
    if not extensions and _NAMED_FIELDS.isdisjoint(content):
        return content
    conflicts = [
        name
        for name in (*RESERVED, *KINDS)
        if name in content and (name in RESERVED or name in extensions or not isinstance(content[name], dict))
    ]
    if not conflicts and not extensions:
        return content
    result = {name: value for name, value in content.items() if name not in conflicts} if conflicts else content
    others = extensions.get(UNINDEXED, {})
    if conflicts:
        others = {**others, "body": {name: content[name] for name in conflicts}}
    return {**result, **extensions, **({UNINDEXED: dumps(others).decode()} if others else {})}


def extended_rows(contents: list[Fields], extensions: Fields, most_bytes: int) -> list[Fields]:
    """Return the rows of a batch with the fields of `read_extensions`, see `with_extensions`.

    If the copies together were larger than ``most_bytes``, only the first row has those whose size isn't fixed.
    """
    if len(contents) > 1 and extensions and len(contents) * len(dumps(extensions)) > most_bytes:
        few = {name: extensions[name] for name in (COMPONENT, RECORDED, STATUS) if name in extensions}
        return [with_extensions(content, few if row else extensions) for row, content in enumerate(contents)]
    if not extensions and len(contents) == 1 and _NAMED_FIELDS.isdisjoint(contents[0]):
        return contents
    return [with_extensions(content, extensions) for content in contents]


def is_failure(response: Mapping[str, Any]) -> bool:
    """Return whether a response answers a failed request, which isn't a prediction: a status of 400 and more."""
    status = response.get(STATUS)
    return type(status) is int and status >= FAILED_STATUS


def parsed_attribute(value: Any) -> Any:
    """Return the JSON value of an attribute, also if it is percent-encoded, as CloudEvents wants it; else itself."""
    if not isinstance(value, str):
        return value
    for text in (value, unquote(value)) if "%" in value else (value,):
        try:
            return loads(text)
        except ValueError:
            continue
    return value


def _named(kind: str, given: Mapping[Any, Any], wanted: str) -> tuple[Fields, Fields]:
    """Return the values to index by name, and the others. Names that aren't wanted are in neither."""
    values: dict[str, list[str]] = {}
    others: Fields = {}
    for given_name, value in given.items():
        name = _storable(str(given_name)).lower()
        if not is_wanted(kind, name, wanted):
            continue
        texts = _texts(value)
        known = values.get(name, [])
        if (
            texts is None
            or len(known) + len(texts) > MOST_VALUES
            or len(name) > MOST_NAME_CHARACTERS
            or (name not in values and len(values) >= MOST_NAMES)
        ):
            others[name] = value
        elif texts:
            values[name] = known + texts
    fields: Fields = {name: texts[0] if len(texts) == 1 else texts for name, texts in values.items()}
    for name in to_set_aside(fields):
        others[name] = fields.pop(name)
    return fields, others


def is_wanted(kind: str, name: str, wanted: str) -> bool:
    """Return whether METADATA_FIELDS keeps a name (in lower case) of ``metadata`` or ``annotations``."""
    if wanted == EVERYTHING:
        return True
    # Names that no glob is meant for aren't worth a place in the cache.
    return (_matches if len(name) <= MOST_NAME_CHARACTERS else _matches.__wrapped__)(kind, name, wanted)


@lru_cache(maxsize=1024)
def _matches(kind: str, name: str, wanted: str) -> bool:
    globs = filter(None, (glob.strip().lower() for glob in wanted.split(",")))
    return any(fnmatchcase(text, glob) for glob in globs for text in (name, f"{kind}.{name}"))


def _texts(value: Any) -> list[str] | None:
    """Return the values of a name as texts, null as none; None for a value with something nested."""
    entries = value if isinstance(value, list) else [value]
    if any(isinstance(entry, (dict, list)) for entry in entries):
        return None
    return [
        _storable(entry) if isinstance(entry, str) else dumps(entry).decode() for entry in entries if entry is not None
    ]


def _single_values(attributes: Mapping[str, Any], others: Fields) -> Iterator[tuple[str, Any]]:
    """Yield the fields of the other attributes; values of the wrong kind are added to ``others``."""
    for name, field, read in (
        ("component", COMPONENT, _component),
        ("recordedtime", RECORDED, _time),
        ("statuscode", STATUS, _status),
    ):
        value = attributes.get(name)
        if value is None or value == "":
            continue
        known = read(value)
        if known is not None:
            yield field, known
        else:
            size = _size(value)
            others[name] = _too_large(size) if size > MOST_BYTES else value


def _component(value: Any) -> str | None:
    return _storable(value) if isinstance(value, str) and len(value) <= MOST_NAME_CHARACTERS else None


def _time(value: Any) -> str | None:
    return as_timestamp(value) if time_key(value) is not None else None


def _status(value: Any) -> int | None:
    """Return an HTTP status, which has three digits; None for anything else."""
    text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return int(text) if len(text) == 3 and text.isascii() and text.isdecimal() and text[0] != "0" else None


def dropped(size: int, reason: str) -> Fields:
    """Return what is kept of a value that is not stored; ``size`` in bytes."""
    return {"bytes": size, "reason": reason}


def _too_large(size: int) -> Fields:
    return dropped(size, f"expected at most {MOST_BYTES} bytes")


def _size(value: Any) -> int:
    return len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else len(dumps(value))


def _storable(text: str) -> str:
    """Return a text without lone surrogates, which the search engine can't store."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
