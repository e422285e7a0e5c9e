"""Finds which class of a binary classifier is the positive one, as its documents name it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.rollups import PREFIX
from request_logger.analytics.scope import Scope
from request_logger.analytics.tasks import Task

# Each document has one of these fields, with the name of the positive class.
_CELLS = ("true_positive", "false_positive", "false_negative", "true_negative")
_BINARY = "binary"
# Names that are told: more than one is a mistake in the configuration, which a few names show.
_MOST_NAMES = 5


def positive_class(runner: QueryRunner, scope: Scope, task: Task) -> dict[str, Any]:
    """Return ``positive_class``, or ``positive_classes`` where the documents don't agree; empty for other scorers.

    Raises what :class:`QueryRunner` raises.
    """
    if task.name != _BINARY:
        return {}
    aggs = {cell: {"terms": {"field": f"{PREFIX}{cell}", "size": _MOST_NAMES}} for cell in _CELLS}
    found = runner.aggregate(scope, aggs, task.only)
    names = sorted({str(bucket["key"]) for cell in found.values() for bucket in cell.get("buckets", [])})
    if len(names) > 1:
        return {"positive_classes": names[:_MOST_NAMES]}
    return {"positive_class": names[0]} if names else {}


def positive_class_warnings(tasks: Sequence[Mapping[str, Any]], target: str) -> list[str]:
    """Return a warning for each task whose documents have several positive classes, with the command that helps."""
    chosen = f" --in {shlex.quote(target)}" if target else ""
    return [
        f"{task['scorer']} took each of {', '.join(names)} as the positive class of some documents: precision, recall"
        " and AUC are of no class. Set the option positive_label in SCORER or a rule, then: request-logger rescore"
        f"{chosen} --scorer {shlex.quote(f'binary:positive_label={names[-1]}')}."
        for task in tasks
        if (names := task.get("positive_classes"))
    ]
