"""What a user calls a field -> the field that an engine can group by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from request_logger.answers.errors import BadQuestionError
from request_logger.answers.scope import TOLERANT, Scope
from request_logger.exporter import Asks
from request_logger.store.change import StoreUnavailableError

_SHORT = {
    "namespace": "Ce-Namespace",
    "deployment": "Ce-Inferenceservicename",
    "predictor": "Ce-Endpoint",
    "endpoint": "Ce-Endpoint",
    "model": "Ce-Modelid",
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


@dataclass(frozen=True, slots=True)
class Field:
    """A field that can be grouped by: ``path`` in the documents, and whether it holds numbers."""

    name: str
    path: str
    is_number: bool


def find_field(engine: Asks, scope: Scope, name: str) -> Field:
    """Find a field by its path, by its bare name (an element, a tag, a metric), or as ``model``, ``predictor``...

    Raises BadQuestionError where no document has it or it can't be grouped by, and StoreUnavailableError.
    """
    candidates = list(_candidates(name))
    status, answer = engine.request(
        "GET", f"{scope.path}/_field_caps", params={**TOLERANT, "fields": ",".join(candidates)}
    )
    if status != 200:
        raise StoreUnavailableError(f"the engine answered {status} to a question for the field {name}")
    found = answer.get("fields", {})
    for path in candidates:
        kinds = {kind: caps for kind, caps in found.get(path, {}).items() if kind != "unmapped"}
        if kinds and all(caps.get("aggregatable") for caps in kinds.values()):
            numbers = set(kinds) <= _NUMBERS
            if numbers or not _NUMBERS & set(kinds):
                return Field(name, path, numbers)
    raise BadQuestionError(
        f"--by: expected a field that the documents have, such as model or an element, found {name!r}"
    )


def _candidates(name: str) -> Iterator[str]:
    for place in _PLACES if name not in _SHORT else ("",):
        path = _SHORT.get(name, place + name)
        if not path.endswith(".keyword"):
            yield f"{path}.keyword"
        yield path
