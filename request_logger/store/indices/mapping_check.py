"""Checks an index's mapping and settings for effects on our documents. Pure code, no I/O.

In an index that the original logger created, the search engine derived the types of fields from their first values.
These types can't be changed. Values that they refuse are stored as text that is not indexed (see document.degrade);
values that they distort are correct in `_source`, but wrong in searches and sums.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from request_logger.store.indices.templates import count_fields, metrics_mapping
from request_logger.store.indices.templates import mapping as our_mapping

Mapping = dict[str, Any]
Origin = Literal["ours", "original", "original, with our fields added"]

WHOLE_NUMBERS = frozenset({"long", "integer", "short", "byte", "unsigned_long"})
NUMBERS = frozenset({"double", "float", "half_float", "scaled_float"}) | WHOLE_NUMBERS
TEXTS = frozenset({"text", "match_only_text", "keyword", "constant_keyword", "wildcard"})
PARTS = ("request", "response", "feedback", "outlier", "drift")
# Fields whose values have no fixed shape and are never aggregated.
_FREE_FORM = ("payload", "instance", "truth", "parameters", "outputs", "request", "response", "metrics")
DEFAULT_FIELD_LIMIT = 1000
# From this share of the field limit on a warning is due: a new deployment's elements may exceed it.
_NEARLY = 0.8
# Element names per line of a finding.
_NAMES_SHOWN = 5

_ANSWERED_503 = "every event is answered 503, or spooled, until it ends"
_BLOCKED = {
    "metadata": "new fields can't be added",
    "write": f"{_ANSWERED_503}; loggers lift the one that a killed `setup --upgrade` has left, after a minute",
}

REINDEX = "reindex"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding about a field or setting: its value, the effect on our documents, and the action to take, if any."""

    field: str
    found: str
    happens: str
    action: str = ""
    """`reindex`, a setting to change as `name=value`, or nothing."""

    @property
    def needs_action(self) -> bool:
        """Whether there is an action to take."""
        return bool(self.action)


def origin(mapping: Mapping) -> Origin:
    """Return which program created an index's mapping."""
    properties = mapping.get("properties", {})
    has_metrics = properties.get("metrics", {}).get("properties", {}).get("scorer", {}).get("type") == "keyword"
    if not has_metrics:
        return "original"
    types = field_types(mapping)
    for path, kind in field_types(our_mapping()).items():
        if path in types and types[path] != kind:
            return "original, with our fields added"
    return "ours"


def field_types(mapping: Mapping) -> dict[str, str]:
    """Return the type of each field by its path: `object` for one that has fields, `disabled` for one not indexed."""
    return dict(_walk(mapping.get("properties", {}), ""))


def _walk(properties: Mapping, prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in properties.items():
        kind = field.get("type", "object")
        if kind == "object" and field.get("enabled") in (False, "false"):
            kind = "disabled"
        yield prefix + name, kind
        yield from _walk(field.get("properties", {}), f"{prefix}{name}.")


def findings(mapping: Mapping, settings: Mapping) -> list[Finding]:
    """Return the findings for an index's mapping and flat settings (`index.blocks.write`...), those to act on first."""
    found = [*_settings_findings(mapping, settings), *_reward(mapping), *_metrics(mapping), *_elements(mapping)]
    found += [*_free_form(mapping), *_to_come(mapping)]
    return sorted(found, key=lambda finding: not finding.needs_action)


def _settings_findings(mapping: Mapping, settings: Mapping) -> Iterator[Finding]:
    for block in ("read_only", "read_only_allow_delete", "write", "metadata"):
        name = f"index.blocks.{block}"
        if str(settings.get(name, "false")).lower() == "true":
            yield Finding(name, "true", _BLOCKED.get(block, _ANSWERED_503), f"{name}=null")
    if str(settings.get("index.refresh_interval", "")).startswith("-1"):
        happens = "new documents can't be found until the index is refreshed"
        yield Finding("index.refresh_interval", "-1", happens, "index.refresh_interval=null")
    limit = int(settings.get("index.mapping.total_fields.limit", DEFAULT_FIELD_LIMIT))
    count = count_fields(mapping)
    if count >= _NEARLY * limit:
        happens = "a document with more new names than fit is stored un-indexed, without its elements"
        action = f"index.mapping.total_fields.limit={max(2 * limit, 2000)}"
        yield Finding("total fields", f"{count} of {limit}", happens, action)
    if mapping.get("dynamic") == "strict":
        yield Finding("dynamic", "strict", "new names are refused: stored un-indexed", REINDEX)
    elif str(mapping.get("dynamic", "true")).lower() == "false":
        yield Finding("dynamic", "false", "new names are stored and can't be searched", REINDEX)


def _reward(mapping: Mapping) -> Iterator[Finding]:
    kind = field_types(mapping).get("feedback.reward")
    where = "; metrics.reward has it as a number if there is a response"
    if kind == "boolean":
        happens = "a reward is a number, which this refuses: stored un-indexed, so that sums of it stop growing" + where
    elif kind in WHOLE_NUMBERS:
        happens = "a reward of 0.5 is stored, and counts as 0 in sums of it" + where
    elif kind in NUMBERS or kind in (None, "disabled"):
        return
    elif kind in TEXTS:
        happens = "rewards are stored, and can't be summed up" + where
    else:
        happens = "some or all rewards are refused: stored un-indexed" + where
    yield Finding("feedback.reward", str(kind), happens, REINDEX)


def _metrics(mapping: Mapping) -> Iterator[Finding]:
    types = field_types(mapping)
    if types.get("metrics") not in (None, "object"):
        happens = "metrics are refused or not indexed: nothing can be rolled up"
        yield Finding("metrics", types["metrics"], happens, REINDEX)
        return
    ours = {f"metrics.{name}": str(field["type"]) for name, field in metrics_mapping()["properties"].items()}
    for path, kind in types.items():
        if not path.startswith("metrics."):
            continue
        wanted = ours.get(path)
        if kind == wanted or (kind in WHOLE_NUMBERS and wanted in WHOLE_NUMBERS):
            continue
        if wanted == "double" and kind in WHOLE_NUMBERS:
            happens = "fractions are cut off: avg and sum are wrong"
        elif kind in ("text", "match_only_text"):
            happens = f"a terms aggregation on it fails; {path}.keyword works where the mapping has it"
        elif wanted is None and kind in WHOLE_NUMBERS:
            happens = "fractions are cut off: avg and sum are wrong"
        elif wanted is None:
            if kind in NUMBERS or kind in ("keyword", "object"):
                continue
            happens = "values of another type are refused: metrics are stored un-indexed"
        elif {kind, wanted} <= NUMBERS:
            continue
        else:
            happens = f"it should be {wanted}: values are refused and stored un-indexed, or can't be summed up"
        yield Finding(path, kind, happens, REINDEX)


# Type -> the effect on elements of other types, and whether it justifies reindexing.
_ELEMENTS = {
    "date": ("guessed from the first value; any other text is refused: stored un-indexed", True),
    "boolean": ("numbers and text are refused: stored un-indexed", True),
    "object": ("plain values are refused: stored un-indexed", True),
    "whole": ("fractions are cut off in searches and sums, text is refused: stored un-indexed", True),
    "number": ("text is refused: stored un-indexed", False),
    "text": ("numbers are searched as text, and can't be summed up; objects are refused: stored un-indexed", False),
}


def _elements(mapping: Mapping) -> Iterator[Finding]:
    for part in ("request", "response"):
        fields = mapping.get("properties", {}).get(part, {}).get("properties", {})
        elements = fields.get("elements", {})
        own = field_types(elements)
        if elements and "properties" not in elements and elements.get("type", "object") != "object":
            yield Finding(f"{part}.elements", elements["type"], _ELEMENTS["object"][0], REINDEX)
        grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name, kind in own.items():
            if kind == "object" and name in own and any(other.startswith(f"{name}.") for other in own):
                grouped["object", kind].append(name)
            elif kind in WHOLE_NUMBERS:
                grouped["whole", kind].append(name)
            elif kind in ("date", "boolean"):
                grouped[kind, kind].append(name)
            elif kind == "text":
                grouped["text", kind].append(name)
            elif kind in NUMBERS and kind != "double":
                grouped["number", kind].append(name)
        for (rule, kind), names in grouped.items():
            happens, worth_it = _ELEMENTS[rule]
            yield Finding(f"{part}.elements.{listed(names)}", kind, happens, REINDEX if worth_it else "")


def listed(names: Iterable[str]) -> str:
    """Return names as one path: the name, or ``{a, b, 3 more}``."""
    ordered = sorted(names)
    if len(ordered) == 1:
        return ordered[0]
    more = f", {len(ordered) - _NAMES_SHOWN} more" if len(ordered) > _NAMES_SHOWN else ""
    return "{" + ", ".join(ordered[:_NAMES_SHOWN]) + more + "}"


def _free_form(mapping: Mapping) -> Iterator[Finding]:
    for part in PARTS:
        fields = mapping.get("properties", {}).get(part, {}).get("properties", {})
        for name in _FREE_FORM:
            field = fields.get(name)
            if field is None or (name in ("request", "response", "metrics") and part != "feedback"):
                continue
            kinds = {kind for path, kind in _walk({name: field}, "") if kind != "disabled"} - {"object"}
            if kinds:
                happens = "indexed as its first values were; one of another shape is refused: stored un-indexed"
                yield Finding(f"{part}.{name}", ", ".join(sorted(kinds)), happens)


def _to_come(mapping: Mapping) -> Iterator[Finding]:
    if "metrics" not in mapping.get("properties", {}):
        yield Finding("metrics", "missing", "added with its types at the next event")
    if mapping.get("date_detection") is not False:
        yield Finding("date_detection", "on", "turned off at the next event: no further text is taken for a date")
