"""Finds the fields whose distributions are compared: inputs, metadata, tags and predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from request_logger.analytics.drift.baselines import Kind
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import TOLERANT, Scope
from request_logger.analytics.selection import exists
from request_logger.common.chunks import chunks
from request_logger.store.changes import StoreUnavailableError

# Fields of one drift report: more are not looked at, which is said.
MOST_FIELDS = 100
# Filters per search that asks which fields have documents.
_PAGE = 200
_NUMBERS = frozenset(
    ("long", "integer", "short", "byte", "double", "float", "half_float", "scaled_float", "unsigned_long")
)
_SUBFIELD = ".keyword"


class Role(StrEnum):
    """Which side of the model a field is on."""

    INPUT = "input"
    PREDICTION = "prediction"


# Path prefixes of inputs.
_INPUTS = ("request.elements.", "request.meta.tags.", "request.metadata.")
# The fields of predictions, each list with those that say the same: the first that has documents is used.
_PREDICTIONS = (
    ("prediction.label",),
    ("prediction.value",),
    ("prediction.positive_probability", "prediction.probability", "prediction.score_bin"),
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A field to compare: its ``path``, its kind in the reference and in the current documents (None: in none)."""

    path: str
    role: Role
    reference: Kind | None
    current: Kind | None

    @property
    def name(self) -> str:
        """The path without a subfield."""
        return self.path.removesuffix(_SUBFIELD)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The fields to compare, and how many more there are."""

    fields: list[Candidate] = field(default_factory=list)
    left_out: int = 0


def candidates(runner: QueryRunner, current: Scope, reference: Scope, names: Sequence[str] = ()) -> Candidates:
    """Return the fields that documents of either scope have: at most MOST_FIELDS, or those of ``names``.

    A name is a path, or that of an element, a tag or a header. Raises BadQueryError for a name that no document has,
    and StoreUnavailableError.
    """
    kinds = _kinds(runner, reference), _kinds(runner, current)
    paths = sorted(_one_form(*kinds), key=lambda path: (_role(path) is Role.INPUT, path))
    if names:
        paths = [_named(name, paths) for name in dict.fromkeys(names)]
        paths = list(dict.fromkeys(paths))
    used = _used(runner, (reference, current), paths) if not names else set(paths)
    chosen = [path for path in paths if path in used]
    if not names:
        chosen = list(_without_same(chosen))
    fields = [Candidate(path, _role(path), kinds[0].get(path), kinds[1].get(path)) for path in chosen[:MOST_FIELDS]]
    for each in fields:
        is_number = (each.reference or each.current) is Kind.NUMBER
        runner.left_out.watch(each.path, "number" if is_number else None)
    return Candidates(fields, max(len(chosen) - MOST_FIELDS, 0))


def _role(path: str) -> Role:
    return Role.PREDICTION if path.startswith("prediction.") else Role.INPUT


def _named(name: str, paths: Sequence[str]) -> str:
    full = [f"{prefix}{name}" for prefix in ("", *_INPUTS, "request.metadata.x-", "prediction.")]
    for path in (each + suffix for each in full for suffix in (_SUBFIELD, "")):
        if path in paths:
            return path
    raise BadQueryError(f"--fields: expected elements, tags, headers or prediction fields, found {name!r}")


def _one_form(*sides: Mapping[str, Kind]) -> Iterator[str]:
    """Yield one path per field: the field or its subfield, whichever more sides have."""
    known = {path for side in sides for path in side}
    for plain in {path.removesuffix(_SUBFIELD) for path in known}:
        forms = [form for form in (plain, plain + _SUBFIELD) if form in known]
        yield max(forms, key=lambda form: sum(form in side for side in sides))


def _without_same(paths: Iterable[str]) -> Iterable[str]:
    known = list(paths)
    same = {each for group in _PREDICTIONS for each in [path for path in group if path in known][1:]}
    return (path for path in known if path not in same)


def _kinds(runner: QueryRunner, scope: Scope) -> Mapping[str, Kind]:
    """Return the kind of each field in the indices of a scope, that of most indices."""
    wanted = [*(f"{prefix}*" for prefix in _INPUTS), *(path for group in _PREDICTIONS for path in group)]
    path = f"/{quote(runner.left_out.narrowed(scope.indices), safe='*,')}/_field_caps"
    status, answer = runner.engine.request("GET", path, params={**TOLERANT, "fields": ",".join(wanted)})
    if status == 404:
        return {}
    found = answer.get("fields") if isinstance(answer, dict) else None
    if status != 200 or not isinstance(found, dict):
        raise StoreUnavailableError(f"the search engine answered {status} to a request for the fields")
    kinds = {path: _kind(caps) for path, caps in found.items() if isinstance(caps, dict)}
    return {path: kind for path, kind in kinds.items() if kind is not None}


def _kind(caps: Mapping[str, Any]) -> Kind | None:
    if "text" in caps:
        # In indices of the original logger, where only the subfield can be counted.
        return None
    weights: dict[Kind, float] = {}
    for type_name, found in caps.items():
        if not isinstance(found, dict) or not found.get("aggregatable"):
            continue
        kind = Kind.NUMBER if type_name in _NUMBERS else Kind.CATEGORY if type_name == "keyword" else None
        if kind is not None:
            # `_field_caps` names the indices only if their types differ.
            indices = found.get("indices")
            weights[kind] = weights.get(kind, 0) + (len(indices) if isinstance(indices, list) else 1)
    return max(weights, key=weights.__getitem__) if weights else None


def _used(runner: QueryRunner, scopes: Sequence[Scope], paths: Sequence[str]) -> set[str]:
    """Return the fields that a document of one of the scopes has: others are in mappings of other deployments."""
    used: set[str] = set()
    for scope in scopes:
        for some in chunks(paths, _PAGE):
            page = [path for path in some if path not in used]
            aggs = {str(number): {"filter": exists(path)} for number, path in enumerate(page)}
            found = runner.aggregate(scope, aggs) if aggs else {}
            used |= {path for number, path in enumerate(page) if found.get(str(number), {}).get("doc_count")}
    return used
