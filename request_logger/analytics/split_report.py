"""The part of a report that splits a task's documents by the values of a field, or of two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from request_logger.analytics.buckets import Segment
from request_logger.analytics.class_tables import class_table
from request_logger.analytics.estimate_json import as_json, split_as_json
from request_logger.analytics.estimates import estimates, needs_folds, statistics_of, value_of
from request_logger.analytics.fields import Field
from request_logger.analytics.intervals import NoInterval
from request_logger.analytics.plot_data import over_time as curves_over_time
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Scope
from request_logger.analytics.shares import Dependence
from request_logger.analytics.splits import split_by
from request_logger.analytics.tasks import Task
from scorers.base import Metric

Report = dict[str, Any]
# By metric, how far documents belong together, or why that is unknown.
Together = Mapping[str, Dependence | NoInterval]
# Classes of one part of a split: a part has few documents of each of more.
_MOST_CLASSES = 50


def split_report(
    runner: QueryRunner,
    scope: Scope,
    task: Task,
    fields: Sequence[Field],
    window: str,
    together: Together,
    *,
    has_classes: bool,
) -> Report:
    """Return the shown metrics and the classes by the values of a field, of two, or by ranges of a number.

    The first values have the headline by ``window``, too; none where it is empty. Without the classes, only the
    headline has intervals: the confusion matrix of each value takes most of the time.
    """
    tables = [metric for metric in task.metrics if metric.per_class and has_classes]
    judged = task.shown if has_classes else task.shown[:1]
    others = task.shown[len(judged) :]
    needs = [*statistics_of([*judged, *tables]), *(need for metric in others for need in metric.needs.values())]
    split = split_by(
        runner, scope, list(dict.fromkeys(needs)), fields[0], task.only, across=fields[1] if len(fields) > 1 else None
    )

    def figures(segment: Segment) -> Report:
        # Where documents belong together, the intervals of independent ones would be too narrow.
        classes = class_table(tables, segment.answers)
        rows = {label: {**row, **({"intervals": None} if together else {})} for label, row in classes.items()}
        known = {metric.name: value_of(metric, segment.answers) for metric in others}
        plain = [{"name": name, "value": value} for name, value in known.items() if value is not None]
        return {
            "metrics": [*segment_metrics(segment, judged, together), *plain],
            "per_class": _most_frequent(rows),
        }

    found = split_as_json(split, fields, figures)
    curves = curves_over_time.by_value(runner, scope, task, split.segments, window, together)
    for part, curve in zip(found["parts"], curves, strict=False):
        part["over_time"] = curve
    return found


def segment_metrics(segment: Segment, metrics: Sequence[Metric], together: Together) -> list[Report]:
    """Return metrics of a segment as JSON; without intervals where these need folds, which a segment doesn't have."""
    found = estimates(metrics, segment.answers, together=together)
    return [as_json(replace(each, why=NoInterval.NOT_SPLIT) if needs_folds([each]) else each) for each in found]


def _most_frequent(rows: Report) -> Report:
    listed = sorted(rows.items(), key=lambda pair: -pair[1].get("support", 0))
    return dict(listed[:_MOST_CLASSES])
