"""The tables by class of a task: precision, recall, F1 and counts, with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from request_logger.analytics.class_averages import intervals_by_class
from request_logger.analytics.jackknife import Folds
from request_logger.analytics.queries import Answers
from scorers.base import Metric

Table = dict[str, Any]


def class_table(metrics: Iterable[Metric], answers: Answers, folds: Folds | None = None) -> Table:
    """Return the table by class, with ``intervals`` where its counts give them.

    ``folds`` are those of the documents, None where these are independent.
    """
    metrics = [metric for metric in metrics if metric.per_class]
    rows = _rows(metrics, answers)
    known: Table = {}
    if all("true_positive" in row for row in rows.values()):
        if folds is None or not folds.are_together:
            known = intervals_by_class(rows)
        elif folds.problem is None:
            known = intervals_by_class(rows, folds, [_rows(metrics, some) for some in folds.without])
    for label, intervals in known.items():
        rows[label]["intervals"] = {name: [found.low, found.high] for name, found in intervals.items()}
    return rows


def _rows(metrics: Sequence[Metric], answers: Answers) -> Table:
    rows: Table = {}
    for metric in metrics:
        table = metric.compute({key: answers[need] for key, need in metric.needs.items()})
        rows.update(table if isinstance(table, dict) else {})
    return rows
