"""What an index costs that a new one, made from the index template, would not. Pure code, no I/O.

The types of an index's fields and its codec can't be changed: only a copy has the template's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from request_logger.store.indices.mapping_check import NUMBERS, Finding, listed

Mapping = dict[str, Any]

# The names that search engines give to LZ4.
_LZ4 = frozenset({"default", "lz4", "lucene_default", "legacy_default"})
_SUBFIELDS = "cost CPU and disk; a new index has no such subfields, since dashboards don't group by these fields"
_INDEXED = "cost CPU and disk; a new index only stores these values, in _source"
_POINTS = "cost a quarter of the disk; in a new index, numbers are searched by their doc values"


def savings(mapping: Mapping, settings: Mapping, new: Mapping) -> list[Finding]:
    """Return what a new index would save, for an index's mapping and flat settings; no finding needs an action.

    ``new`` has the ``mappings`` and ``settings`` that a new index gets, as in an index template.
    """
    found = []
    codec, better = str(settings.get("index.codec", "default")), _codec(new.get("settings", {}))
    if codec in _LZ4 and better not in _LZ4:
        found.append(Finding("index.codec", codec, f"takes more disk than {better}, which a new index has"))
    theirs, ours = _fields(mapping), _fields(new.get("mappings", {}))
    # An index of the original lacks most of our fields: only those of both are compared.
    both = [path for path in theirs if path in ours]
    subfields = [path for path in both if theirs[path].get("fields") and not ours[path].get("fields")]
    if subfields:
        found.append(Finding(f"{listed(subfields)}.keyword", "indexed", _SUBFIELDS))
    indexed = [path for path in both if _is_searchable(theirs[path]) and not _is_searchable(ours[path])]
    if indexed:
        found.append(Finding(listed(indexed), "indexed", _INDEXED))
    if any(_has_points(theirs[path]) and not _has_points(ours[path]) for path in both if path not in indexed):
        numbers = [path for path, field in theirs.items() if _has_points(field)]
        found.append(Finding(listed(numbers), "points", _POINTS))
    return found


def _codec(settings: Mapping) -> str:
    """Return the codec in an index template's settings, which search engines show nested."""
    nested = settings.get("index")
    found = nested.get("codec") if isinstance(nested, dict) else settings.get("index.codec")
    return str(found or "default")


def _fields(mapping: Mapping) -> dict[str, Mapping]:
    return dict(_walk(mapping.get("properties", {}), ""))


def _walk(properties: Mapping, prefix: str) -> Iterator[tuple[str, Mapping]]:
    for name, field in properties.items():
        yield prefix + name, field
        yield from _walk(field.get("properties", {}), f"{prefix}{name}.")


def _is_searchable(field: Mapping) -> bool:
    """Return whether a field's values, or those below it, are indexed or have doc values."""
    if field.get("type", "object") == "object":
        below = field.get("properties", {}).values()
        # Unless told otherwise it takes any name, and indexes it.
        return _is_on(field, "enabled") and (_is_on(field, "dynamic") or any(map(_is_searchable, below)))
    return _is_on(field, "index") or _is_on(field, "doc_values")


def _has_points(field: Mapping) -> bool:
    return field.get("type") in NUMBERS and _is_on(field, "index")


def _is_on(field: Mapping, parameter: str) -> bool:
    return field.get(parameter, True) not in (False, "false")
