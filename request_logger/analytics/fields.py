"""What a user calls a field -> the field that an engine can group by."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from request_logger.analytics.errors import BadQuestionError
from request_logger.analytics.queries import Asker
from request_logger.analytics.scope import TOLERANT, Scope
from request_logger.common.mapped_fields import ORIGIN
from request_logger.store.changes import StoreUnavailableError

_SHORT = {
    **ORIGIN,
    "endpoint": ORIGIN["predictor"],
    "engine": "ServingEngine",
}
# Where a bare name is looked for, in this order.
_PLACES = (
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
    """A field that can be grouped by: ``path`` in the documents, and whether it holds numbers."""

    name: str
    path: str
    is_number: bool


def find_field(asker: Asker, scope: Scope, name: str) -> Field:
    """Find a field by its path, by its bare name (an element, a tag, a metric), or as ``model``, ``predictor``...

    Where a few indices have it in another form than most, those can't be asked, and are left out. Raises
    BadQuestionError where no document has it or it can't be grouped by, and StoreUnavailableError.
    """
    candidates = list(_candidates(name))
    path = f"/{quote(asker.left_out.narrowed(scope.indices), safe='*,')}/_field_caps"
    status, answer = asker.engine.request("GET", path, params={**TOLERANT, "fields": ",".join(candidates)})
    if status != 200:
        raise StoreUnavailableError(f"the engine answered {status} to a question for the field {name}")
    found = answer.get("fields") if isinstance(answer, dict) else None
    if not isinstance(found, dict):
        raise StoreUnavailableError(f"the engine's answer to a question for the field {name} is none")
    for path in candidates:
        kinds = _kinds(found.get(path))
        if kinds:
            most = max(kinds, key=kinds.__getitem__)
            asker.left_out.watch(path, _NUMBER if most == _NUMBER else None)
            return Field(name, path, most == _NUMBER)
    raise BadQuestionError(
        f"--by: expected a field that the documents have, such as model or an element, found {name!r}"
    )


def _kinds(found: Any) -> dict[str, float]:
    """Return in how many indices a field can be grouped by as numbers, and as texts; empty where nowhere."""
    kinds: dict[str, float] = {}
    for kind, caps in found.items() if isinstance(found, dict) else ():
        if kind != "unmapped" and isinstance(caps, dict) and caps.get("aggregatable"):
            family = _NUMBER if kind in _NUMBERS else "text"
            # Where all have it as the same, no index is named.
            indices = caps.get("indices")
            kinds[family] = kinds.get(family, 0) + (len(indices) if isinstance(indices, list) else math.inf)
    return kinds


def _candidates(name: str) -> Iterator[str]:
    for place in _PLACES if name not in _SHORT else ("",):
        path = _SHORT.get(name, place + name)
        if not path.endswith(".keyword"):
            yield f"{path}.keyword"
        yield path
