"""Resolves a field name that a user gives to a field that the search engine can group by."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import TOLERANT, Scope
from request_logger.common.mapped_fields import ORIGIN
from request_logger.store.changes import StoreUnavailableError

_ALIASES = {
    **ORIGIN,
    "endpoint": ORIGIN["predictor"],
    "engine": "ServingEngine",
}
# Path prefixes that are tried for a bare name, in this order.
_PREFIXES = (
    "",
    "request.elements.",
    "response.elements.",
    "request.meta.tags.",
    "response.meta.tags.",
    "feedback.meta.tags.",
    "metrics.",
)
_NUMBERS = frozenset(
    ("long", "integer", "short", "byte", "double", "float", "half_float", "scaled_float", "unsigned_long")
)

_NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Field:
    """A field to group by: the name that was given, its ``path`` in the documents, and whether it holds numbers."""

    name: str
    path: str
    is_number: bool


def find_field(runner: QueryRunner, scope: Scope, name: str) -> Field:
    """Return a field by its path, by a bare name (of an element, a tag or a metric) or by an alias such as ``model``.

    If a field has different types in different indices, the type of most indices is used; the others are left out of
    the figures. Raises BadQueryError where no document has the field or it can't be grouped by, and
    StoreUnavailableError.
    """
    candidates = list(_candidates(name))
    path = f"/{quote(runner.left_out.narrowed(scope.indices), safe='*,')}/_field_caps"
    status, answer = runner.engine.request(
        "GET", path, params={**TOLERANT, "fields": ",".join(candidates), "include_unmapped": "true"}
    )
    if status != 200:
        raise StoreUnavailableError(f"the search engine answered {status} to a request for the field {name}")
    found = answer.get("fields") if isinstance(answer, dict) else None
    if not isinstance(found, dict):
        raise StoreUnavailableError(f"the search engine's answer to a request for the field {name} is invalid")
    for candidate in candidates:
        if _kinds(found.get(candidate)):
            path = _in_most_indices(candidate, found)
            kinds = _kinds(found[path])
            most = max(kinds, key=kinds.__getitem__)
            runner.left_out.watch(path, _NUMBER if most == _NUMBER else None)
            return Field(name, path, most == _NUMBER)
    raise BadQueryError(f"--by: expected a field that the documents have, such as model or an element, found {name!r}")


def _in_most_indices(path: str, found: dict[str, Any]) -> str:
    """Return a field or its subfield ``.keyword``, whichever more indices have: new indices have fewer subfields."""
    base = path.removesuffix(".keyword")
    usable = [each for each in (f"{base}.keyword", base) if _kinds(found.get(each))]
    return min(usable, key=lambda each: _indices_without(found[each]))


def _indices_without(found: dict[str, Any]) -> int:
    unmapped = found.get("unmapped")
    indices = unmapped.get("indices") if isinstance(unmapped, dict) else None
    return len(indices) if isinstance(indices, list) else 0


def _kinds(found: Any) -> dict[str, float]:
    """Return in how many indices a field is aggregatable as a number and as text; empty where it is in none."""
    kinds: dict[str, float] = {}
    for kind, caps in found.items() if isinstance(found, dict) else ():
        if kind != "unmapped" and isinstance(caps, dict) and caps.get("aggregatable"):
            family = _NUMBER if kind in _NUMBERS else "text"
            # `_field_caps` names the indices only if their types differ.
            indices = caps.get("indices")
            kinds[family] = kinds.get(family, 0) + (len(indices) if isinstance(indices, list) else math.inf)
    return kinds


def _candidates(name: str) -> Iterator[str]:
    for prefix in _PREFIXES if name not in _ALIASES else ("",):
        path = _ALIASES.get(name, prefix + name)
        if not path.endswith(".keyword"):
            yield f"{path}.keyword"
        yield path
