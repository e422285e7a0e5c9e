"""Degrades documents that the search engine refuses: refused content becomes JSON text that is not indexed.

The reason for a refusal mostly names the field. So each reason adds to the form of the document: the element, field or
part that it names is set aside. If a reason names nothing, or only content that is text already, the content that is
most likely refused is set aside step by step, beginning with what can be computed again: see `_stages`. Each reason
leads to a form that differs from the one before, and the number of forms is bounded. Pure code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from request_logger.common import mapped_fields
from request_logger.common.json import dumps
from request_logger.documents.field_names import has_illegal_names, is_legal

Document = dict[str, Any]

_NAMED_FIELD = re.compile(rf"\[((?:{'|'.join(mapped_fields.PARTS)})(?:\.[^\]]*)?)\]")
_LAST_REFUSED = ("ce-time", "ce-source", "received-time", "dataType")
# Each refusal costs a round trip. The last two forms have the least to refuse, whatever the reasons are.
MAX_REFUSALS = 6
_STRICT = re.compile(r"dynamic introduction of \[([^\]]*)\] within \[([^\]]*)\]")
_NOT_LISTED = "not in the mapping: "
# Each refusal names one element: after more than this many, all elements of the part are set aside.
_MAX_SINGLE_REFUSALS = 3
_ELEMENTS = "elements"
DERIVED = ("metrics", mapped_fields.PREDICTION)
"""The objects that are computed from the parts: where a mapping refuses even their text, they are left out."""
# A mapping that accepts no new field refuses it, as it does those objects.
_FOLD = "fold"
# Fields that the index template does not index: no name within them is refused.
_NOT_INDEXED = frozenset(
    {"payload", "instance", "truth", "request", "response", "metrics", "parameters", "outputs", "evaluations"}
)


def degraded_form(document: Document, parts: Mapping[str, Document], reasons: Sequence[str]) -> Document | None:
    """Return a form of a refused document with less to refuse; None if there is no further form.

    ``reasons`` are the search engine's reasons so far. The elements, fields and parts that they name become JSON text
    that is not indexed. A reason that names nothing, or only such text, leads to the next of `_stages`.
    """
    stages = _stages(parts, left_out_last=_FOLD if _FOLD in document else "")
    form = by_reasons = _Form()
    stage = 0
    effective: list[str] = []
    for number, reason in enumerate(map(_plain, reasons), start=1):
        left = MAX_REFUSALS - number
        further = by_reasons | _named(parts, [*effective, reason])
        if further | stages[stage] == form:
            # They are text already, and are still refused.
            further |= _without(name for name in DERIVED if f"[{name}" in reason and parts[name])
        if f"[{_FOLD}]" in reason and _FOLD in document:
            further |= _without([_FOLD])
        if left > 1 and further | stages[stage] != form:
            effective.append(reason)
            by_reasons = further
        else:
            least = stage + 1 if left > 1 else max(stage + 1, len(stages) - 1 - left)
            following = [each for each in range(least, len(stages)) if by_reasons | stages[each] != form]
            if not following:
                return None
            stage = following[0]
        form = by_reasons | stages[stage]
    return _in_form(document, parts, form, reasons[-1])


@dataclass(frozen=True, slots=True)
class _Form:
    """The content that becomes text, fields as (part, field), single elements as (part, name); and what is left out."""

    fields: frozenset[tuple[str, str]] = frozenset()
    elements: frozenset[tuple[str, str]] = frozenset()
    left_out: frozenset[str] = frozenset()

    def __or__(self, other: _Form) -> _Form:
        left_out = self.left_out | other.left_out
        fields = frozenset(field for field in self.fields | other.fields if field[0] not in left_out)
        singles = frozenset(each for each in self.elements | other.elements if (each[0], _ELEMENTS) not in fields)
        return _Form(fields, singles, left_out)


def _without(names: Iterable[str]) -> _Form:
    return _Form(left_out=frozenset(names))


def _stages(parts: Mapping[str, Document], *, left_out_last: str) -> list[_Form]:
    """Return the forms to try in turn if the reasons don't name the refused content.

    Set aside are: the names that an index can't have; the metrics of evaluations, whose names are any sender's; the
    names from documents, for which an index may have no room; the metrics and the prediction, which scoring can compute
    again; all but a few fields; everything; and finally both are left out, and the top-level field ``left_out_last``.
    """

    def those(wanted: Callable[[str, str, Any], bool]) -> frozenset[tuple[str, str]]:
        return frozenset(
            (name, field) for name, part in parts.items() for field in part if wanted(name, field, part[field])
        )

    illegal = those(
        lambda name, field, value: not is_legal(field) or (field not in _NOT_INDEXED and has_illegal_names(value))
    )
    evaluations = illegal | those(lambda name, field, value: (name, field) == ("metrics", "evaluations"))
    brought = evaluations | those(lambda name, field, value: field not in mapped_fields.PARTS[name])
    derived = brought | those(lambda name, field, value: name in DERIVED)
    most = derived | those(lambda name, field, value: field not in _LAST_REFUSED)
    everything = those(lambda name, field, value: True)
    without = _without(name for name in DERIVED if parts[name])
    return [
        _Form(),
        _Form(illegal),
        _Form(evaluations),
        _Form(brought),
        _Form(derived),
        _Form(brought) | without,
        _Form(most),
        _Form(everything),
        _Form(everything) | without | _without([left_out_last] if left_out_last else []),
    ]


def _named(parts: Mapping[str, Document], reasons: Sequence[str]) -> _Form:
    """Return the form in which the content that the reasons name is text."""
    fields: set[tuple[str, str]] = set()
    left_out: set[str] = set()
    not_listed = {match for reason in reasons if _NOT_LISTED in reason for match in _NAMED_FIELD.findall(reason)}
    for steps in _refused_fields(parts, reasons):
        name, field = steps if len(steps) > 1 else (steps[0], "")
        if field in parts[name]:
            fields.add((name, field))
            if field not in mapped_fields.PARTS[name] and f"{name}.{field}" in not_listed:
                # A strict mapping refuses the names from documents one by one, so the first one stands for all of them.
                # Elements are excluded: they are in the mapping, and each is refused by its own name.
                others = parts[name].keys() - mapped_fields.PARTS[name] - {_ELEMENTS}
                fields |= {(name, each) for each in others}
        elif name in DERIVED and (field or name in not_listed):
            # The mapping refuses the object as a whole, or the field for its text.
            left_out |= {name} if parts[name] else set()
        elif not field:
            # In an index of the original logger the time may be mapped as a date, which refuses other text.
            fields |= {(name, each) for each in parts[name] if each not in _LAST_REFUSED}
    for name in parts:
        if sum(match.startswith(f"{name}.{_ELEMENTS}.") for match in not_listed) > 1:
            fields.add((name, _ELEMENTS))
    elements = {(name, each) for name, part in parts.items() for each in _refused_elements(name, part, reasons)}
    return _Form(frozenset(fields), frozenset(elements)) | _without(left_out)


def _in_form(document: Document, parts: Mapping[str, Document], form: _Form, reason: str) -> Document:
    # The latency is derived, and the reasons name nothing outside of the parts: it is left out in any form.
    refused = {name: value for name, value in document.items() if name != mapped_fields.LATENCY}
    for name, part in parts.items():
        unindexed = {field: part[field] for field in part if (name, field) in form.fields}
        content = {field: value for field, value in part.items() if field not in unindexed}
        single = [each for part_name, each in form.elements if part_name == name]
        if single:
            kept, others = split(part[_ELEMENTS], [each for each in part[_ELEMENTS] if each in single])
            content[_ELEMENTS], unindexed[_ELEMENTS] = kept, others
        if unindexed:
            text = dumps(unindexed).decode()
            refused[name] = {**content, "unindexed": text, "unindexed_reason": reason[:1000]}
    return {name: value for name, value in refused.items() if name not in form.left_out}


def _plain(reason: str) -> str:
    """Return a reason; that of a strict mapping is changed to name the whole path, as the others do."""
    return _STRICT.sub(lambda found: f"{_NOT_LISTED}[{found[2]}.{found[1]}]".replace("[_doc.", "["), reason)


def _refused_elements(name: str, part: Document, reasons: Sequence[str]) -> list[str]:
    """Return the elements of a part that the reasons name; none if there are too many, to set all of them aside."""
    elements = part.get(_ELEMENTS)
    if not isinstance(elements, dict) or not elements:
        return []
    found: set[str] = set()
    about = [reason for reason in reasons if f"[{name}.{_ELEMENTS}." in reason]
    if len(about) > _MAX_SINGLE_REFUSALS:
        return []
    for reason in about:
        of_reason = {element for element in elements if _names_element(reason, f"{name}.{_ELEMENTS}.{element}")}
        if not of_reason:
            return []
        found |= of_reason
    return [element for element in elements if element in found]


def _names_element(reason: str, path: str) -> bool:
    """Return whether a reason names the field of an element, a subfield of it, or a field that contains it."""
    if f"[{path}]" in reason or f"[{path}." in reason:
        return True
    return any(path.startswith(f"{match}.") and match.count(".") > 1 for match in _NAMED_FIELD.findall(reason))


def _refused_fields(parts: Mapping[str, Document], reasons: Sequence[str]) -> set[tuple[str, ...]]:
    """Return the fields (part and name, or the part alone) that the reasons name, without single elements."""
    named: set[tuple[str, ...]] = set()
    for match in (match for reason in reasons for match in _NAMED_FIELD.findall(reason)):
        steps = tuple(match.split(".")[:2])
        is_single = match.startswith(f"{steps[0]}.{_ELEMENTS}.")
        if not is_single or not _refused_elements(steps[0], parts[steps[0]], reasons):
            named.add(steps)
    return named


def split(elements: Document, aside: Iterable[str]) -> tuple[Document, Document]:
    """Return the remaining elements, and those that are set aside."""
    others = {name: elements[name] for name in aside}
    return {name: value for name, value in elements.items() if name not in others}, others
