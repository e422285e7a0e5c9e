"""Computes the fields of a document's ``metrics`` from the evaluations in its feedback. Pure code.

Each name is an object of fields in the index's mapping, so names are reduced to safe characters and their number is
bounded. ``evaluated`` lists them, so that the names that an index has are found by an aggregation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from request_logger.payloads.evaluations import LEFT_OUT, UNUSABLE, Entry, entries_of
from request_logger.scoring.reasons import PairWarning
from scorers.evaluations import PREFIX, Rating, fields_of

EVALUATED = "evaluated"
EVALUATION_LABELS = "evaluation_labels"
"""The labels of all names as ``<name>=<label>``, for dashboards, which know no names."""
# Per document. A name takes up to 25 fields of the mapping, which has room for 2,000 dynamic fields.
MAX_NAMES = 20
_NAME_CHARACTERS = 64
_UNSAFE = re.compile(r"[^\w-]+")


def field_name(name: str) -> str:
    """Return the name of an evaluation as a field name: other characters than letters, digits, _ and - are ``_``."""
    return _UNSAFE.sub("_", name)[:_NAME_CHARACTERS]


def of_feedback(feedback: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a feedback's evaluations, empty if there are none, and their problems as fixed texts."""
    entries = entries_of(feedback)
    if not entries:
        return {}, []
    problems: list[str] = []
    by_name: dict[str, list[Rating]] = {}
    for entry in entries:
        if UNUSABLE in entry:
            problems.append(PairWarning.EVALUATION_UNUSABLE)
        else:
            by_name.setdefault(field_name(entry["name"]), []).append(_rating(entry))
    names = sorted(by_name)
    if feedback.get(LEFT_OUT) is True or len(names) > MAX_NAMES:
        problems.append(PairWarning.EVALUATIONS_TOO_MANY)
    names = names[:MAX_NAMES]
    if not names:
        return {}, problems
    fields = {name: fields_of(by_name[name]) for name in names}
    labels = [f"{name}={fields[name]['label']}" for name in names if "label" in fields[name]]
    return {EVALUATED: names, PREFIX: fields, **({EVALUATION_LABELS: labels} if labels else {})}, problems


def _rating(entry: Entry) -> Rating:
    value = entry.get("value")
    return Rating(
        rater=str(entry["id"]),
        value=value if isinstance(value, float) else None,
        label=str(entry.get("label", "")),
        source=str(entry.get("source", "")),
        failed="value" not in entry and "label" not in entry,
    )
