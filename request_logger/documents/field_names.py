"""Which element names an index can have as field names: a pure rule, which tests compare with real search engines.

A search engine interprets a dot in a field name as a step into an object, and refuses the whole document for a name
with an empty step. So elements with such names are set aside before the document is sent; the others stay searchable.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

# The default limit is 20 levels of objects (index.mapping.depth.limit): `request.elements` takes two, and a value may
# be an object itself.
MAX_STEPS = 16
_HOLDERS = frozenset({dict, list})


def is_legal(name: str) -> bool:
    """Return whether an index can have a field of this name.

    False for an empty or blank name, a dot at an end, two dots together, a blank step, and more than `MAX_STEPS` steps.
    """
    steps = name.split(".")
    return len(steps) <= MAX_STEPS and all(map(str.strip, steps))


def has_illegal_names(value: Any) -> bool:
    """Return whether an object has, at any depth, a name that an index can't have."""
    if isinstance(value, dict):
        return not all(map(is_legal, value)) or any(map(has_illegal_names, value.values()))
    return isinstance(value, list) and any(map(has_illegal_names, value))


def to_set_aside(elements: Mapping[str, Any]) -> list[str]:
    """Return the names of the elements that an index can't have as fields, in their order.

    These are illegal names, elements whose values contain illegal names, and `a.b` if there is also an `a`: an index
    has one field for both.
    """
    if _are_plain(tuple(elements)) and _HOLDERS.isdisjoint(map(type, elements.values())):
        return []
    return [
        name
        for name, value in elements.items()
        if not is_legal(name) or has_illegal_names(value) or ("." in name and _is_within_another(name, elements))
    ]


@lru_cache(maxsize=64)
def _are_plain(names: tuple[str, ...]) -> bool:
    """Return whether names are legal and have no dots; cached, since every row of a deployment has the same names."""
    return all(name.strip() and "." not in name for name in names)


def _is_within_another(name: str, elements: Mapping[str, Any]) -> bool:
    steps = name.split(".")
    return any(".".join(steps[:count]) in elements for count in range(1, len(steps)))
