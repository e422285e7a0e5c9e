"""Resolves a field name that a user gives to a field that the search engine can group by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from typing import Any
from urllib.parse import quote

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import TOLERANT, Scope
from request_logger.analytics.selection import any_of, exists
from request_logger.common.chunks import chunks
from request_logger.common.mapped_fields import COMPONENT, ORIGIN
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
# Short names of fields in the request or the response that only some senders set: see `Field.others`. They are tried
# after the prefixes, since an element or a tag may have the same name.
_SHORT = {
    "version": ("response.model_version", "request.model_version"),
    "model_version": ("response.model_version", "request.model_version"),
    "model_name": ("response.model_name", "request.model_name"),
    "component": (f"response.{COMPONENT}", f"request.{COMPONENT}"),
}
# Of a name in KServe's metadata and annotations, in this order; a header's usual prefix may be left out.
_METADATA = ("metadata.", "metadata.x-", "annotations.")
_SIDES = ("request", "response")
# The objects whose fields have names from senders, for names that resemble an unknown one.
_HOLDERS = (*filter(None, _PREFIXES), *(f"{side}.{kind}." for side in _SIDES for kind in ("metadata", "annotations")))
_MOST_SIMILAR = 3
# Other names in the message, which is one line, and how many are looked at for them, by one search.
_MOST_LISTED = 12
_MOST_LOOKED_AT = 100
_OF_SCORERS = "metrics."
# Half of the request line of 4,096 bytes that search engines accept: the rest is for the indices.
_MOST_CHARACTERS = 2000
# That of difflib.get_close_matches.
_LEAST_LIKENESS = 0.6
_NUMBERS = frozenset(
    ("long", "integer", "short", "byte", "double", "float", "half_float", "scaled_float", "unsigned_long")
)
# Other types that have values to group by: dates and addresses hardly repeat.
_GROUPED = frozenset(("keyword", "constant_keyword", "boolean"))

_NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Field:
    """A field to group by: the name that was given, its ``path`` in the documents, and whether it holds numbers.

    A document without it has its value in the first of ``others`` that it has: the same attribute of the response, say,
    where only the response was logged.
    """

    name: str
    path: str
    is_number: bool
    others: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths, in the order in which a document's value is looked for."""
        return (self.path, *self.others)

    def value_of(self, text: str, *, option: str) -> str | float:
        """Return a text as a value of this field. Raises BadQueryError, which names the ``option``."""
        if not self.is_number:
            return text
        with suppress(ValueError):
            number = float(text)
            if math.isfinite(number):
                return number
        raise BadQueryError(f"{option}: expected a number for {self.name!r}, found {text!r}")


def find_field(runner: QueryRunner, scope: Scope, name: str, *, option: str = "--by") -> Field:
    """Return a field by its path, by an alias such as ``model``, or by the bare name of an element, a tag or a header.

    If a field has different types in different indices, the type of most indices is used; the others are left out of
    the figures. Raises BadQueryError, which names the ``option`` and lists similar names, where no document has the
    field or it can't be grouped by, and StoreUnavailableError.
    """
    candidates = list(_candidates(name))
    found = _field_caps(runner, scope, name, [path for paths in candidates for path in paths])
    fields = [field for paths in candidates if (field := _mapped_field(name, paths, found)) is not None]
    if not fields:
        expected = f"{option}: expected a field that the documents have, such as model or an element, found {name!r}"
        raise BadQueryError(expected + _similar(runner, scope, name))
    field = fields[0] if len(fields) == 1 else _first_in_use(runner, scope, fields)
    runner.left_out.watch(field.path, _NUMBER if field.is_number else None)
    return field


def fields_under(runner: QueryRunner, scope: Scope, patterns: Sequence[str]) -> Iterator[Field]:
    """Yield the fields that match some paths with wildcards, by their paths, if all indices group by them alike.

    Raises StoreUnavailableError.
    """
    found = _field_caps(runner, scope, "patterns", patterns)
    for plain in sorted({_plain(path) for path in found}):
        known = [path for path in _with_subfields(plain) if _kinds(found.get(path))]
        if not known:
            continue
        path = _in_most_indices(plain, found)
        kinds = {kind for each in known for kind, caps in found[each].items() if caps.get("aggregatable")}
        if kinds - {"unmapped"} <= _NUMBERS:
            yield Field(plain, path, is_number=True)
        elif kinds - {"unmapped"} <= _GROUPED:
            yield Field(plain, path, is_number=False)


def usable_path(runner: QueryRunner, scope: Scope, path: str) -> str:
    """Return the path by which a text can be grouped: the field or its subfield; empty if no index has it as a text."""
    found = _field_caps(runner, scope, path, _with_subfields(path))
    usable = [each for each in _with_subfields(path) if "text" in _kinds(found.get(each))]
    return min(usable, key=lambda each: _indices_without(found[each])) if usable else ""


def _mapped_field(name: str, paths: Sequence[str], found: Mapping[str, Any]) -> Field | None:
    """Return the field at the first of these paths that is in a mapping, with the others as its `others`."""
    fields = {_plain(path): _in_most_indices(path, found) for path in paths if _kinds(found.get(path))}
    if not fields:
        return None
    path, *others = fields.values()
    kinds = _kinds(found[path])
    if max(kinds, key=kinds.__getitem__) == _NUMBER:
        return Field(name, path, is_number=True)
    return Field(
        name, path, is_number=False, others=tuple(other for other in others if _NUMBER not in _kinds(found[other]))
    )


def _in_most_indices(path: str, found: Mapping[str, Any]) -> str:
    """Return a field or its subfield ``.keyword``, whichever more indices have: new indices have fewer subfields."""
    usable = [each for each in (f"{_plain(path)}.keyword", _plain(path)) if _kinds(found.get(each))]
    return min(usable, key=lambda each: _indices_without(found[each]))


def _indices_without(found: Mapping[str, Any]) -> int:
    unmapped = found.get("unmapped")
    indices = unmapped.get("indices") if isinstance(unmapped, dict) else None
    return len(indices) if isinstance(indices, list) else 0


def _first_in_use(runner: QueryRunner, scope: Scope, fields: Sequence[Field]) -> Field:
    """Return the first field that a document of the scope has: others are in mappings of other deployments."""
    aggs = {str(number): {"filter": any_of(*map(exists, field.paths))} for number, field in enumerate(fields)}
    found = runner.aggregate(scope, aggs)
    used = (field for number, field in enumerate(fields) if found.get(str(number), {}).get("doc_count"))
    return next(used, fields[0])


def _field_caps(runner: QueryRunner, scope: Scope, name: str, fields: Sequence[str]) -> Mapping[str, Any]:
    """Return what the search engine knows of some fields, by path; of a long name in several requests."""
    path = f"/{quote(runner.left_out.narrowed(scope.indices), safe='*,')}/_field_caps"
    known: dict[str, Any] = {}
    # Old search engines read the fields from the request line only, which has a limit.
    step = max(_MOST_CHARACTERS // (max(map(len, fields)) + 1), 1)
    for some in chunks(fields, step):
        params = {**TOLERANT, "fields": ",".join(some), "include_unmapped": "true"}
        status, answer = runner.engine.request("GET", path, params=params)
        if status != 200:
            raise StoreUnavailableError(f"the search engine answered {status} to a request for the field {name}")
        found = answer.get("fields") if isinstance(answer, dict) else None
        if not isinstance(found, dict):
            raise StoreUnavailableError(f"the search engine's answer to a request for the field {name} is invalid")
        known |= found
    return known


def _similar(runner: QueryRunner, scope: Scope, name: str) -> str:
    """Return the names that resemble an unknown one, and others that documents have, as the end of an error."""
    found = _field_caps(runner, scope, name, [f"{prefix}*" for prefix in _HOLDERS])
    if not found and not runner.count(scope):
        return f"; there are no documents in {scope.indices}"
    paths: dict[str, str] = {}
    for path in sorted(found):
        prefix = next((prefix for prefix in _HOLDERS if path.startswith(prefix)), None)
        if prefix is not None and _kinds(found[path]):
            paths.setdefault(_plain(path).removeprefix(prefix), path)
    # Without its own: of an alias no document has the field.
    names = {*_ALIASES, *_SHORT, *paths} - {name}
    likeness = {known: _likeness(name.lower(), known.lower()) for known in names}
    close = sorted((known for known in names if likeness[known] >= _LEAST_LIKENESS), key=lambda k: (-likeness[k], k))
    close = close[:_MOST_SIMILAR]
    others = {known: path for known, path in paths.items() if known not in close and not path.startswith(_OF_SCORERS)}
    listed = _in_use(runner, scope, others)
    return (f"; similar: {', '.join(close)}" if close else "") + (f"; there are also: {listed}" if listed else "")


def _in_use(runner: QueryRunner, scope: Scope, paths: Mapping[str, str]) -> str:
    """Return the names whose field a document of the scope has, as text: the mappings are of other deployments, too."""
    some = dict(islice(paths.items(), _MOST_LOOKED_AT))
    if not some:
        return ""
    found = runner.aggregate(scope, {str(k): {"filter": exists(path)} for k, path in enumerate(some.values())})
    used = [name for k, name in enumerate(some) if found.get(str(k), {}).get("doc_count")]
    more = f" and {len(used) - _MOST_LISTED} more" if len(used) > _MOST_LISTED else ""
    return ", ".join(used[:_MOST_LISTED]) + more


def _likeness(name: str, known: str) -> float:
    """Return how much two names resemble each other, from 0 to 1; a header's usual prefix may be left out."""
    return max(SequenceMatcher(None, name, text).ratio() for text in {known, known.removeprefix("x-")})


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


def _candidates(name: str) -> Iterator[list[str]]:
    """Yield the paths that may be meant, most likely first: the paths of one list belong together."""
    if name in _ALIASES:
        yield _with_subfields(_ALIASES[name])
    for prefix in _PREFIXES:
        yield _with_subfields(prefix + name)
    yield _with_subfields(*_SHORT.get(name, ()))
    lowered = name.lower()
    for prefix in _METADATA:
        yield _with_subfields(*(f"{side}.{prefix}{lowered}" for side in _SIDES))
    if lowered.startswith(("metadata.", "annotations.")):
        yield _with_subfields(*(f"{side}.{lowered}" for side in _SIDES))


def _with_subfields(*paths: str) -> list[str]:
    return [each for path in paths for each in ((path,) if path.endswith(".keyword") else (f"{path}.keyword", path))]


def _plain(path: str) -> str:
    return path.removesuffix(".keyword")
