"""Curves over time in addition to that of the headline: by class, by the values of a field, and of the coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from request_logger.analytics.buckets import Segment, check_windows, over_time_of_each, window_seconds
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.estimate_json import as_json, point_as_json
from request_logger.analytics.estimates import estimates, statistics_of
from request_logger.analytics.intervals import NoInterval
from request_logger.analytics.maturity import Maturity
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import PREDICTION_DATE, Scope
from request_logger.analytics.selection import PREDICTION, WITH_FEEDBACK
from request_logger.analytics.shares import Dependence
from request_logger.analytics.splits import window_of
from request_logger.analytics.tasks import Task
from request_logger.common.times import utc_text
from scorers.base import Metric, mean_of

Report = dict[str, Any]
Together = Mapping[str, Dependence | NoInterval]
# More curves than these can't be told apart in one plot.
MOST_CURVES = 6
# Fewer windows than the headline's have more of the few documents of a class or a value.
MOST_WINDOWS = 15
# Of all predictions of a class, the share that is right.
_RECALL = mean_of("recall", "correct")


def by_class(
    runner: QueryRunner,
    scope: Scope,
    task: Task,
    matrix: Mapping[str, Mapping[str, int]],
    window: str,
    together: Together,
) -> Report | None:
    """Return the recall of the most frequent classes by window; None for fewer than two classes, or without windows."""
    support = {truth: sum(row.values()) for truth, row in matrix.items()}
    labels = sorted(support, key=lambda label: (-support[label], label))
    if len(labels) < 2 or not window:
        return None
    # A class belongs together as all documents do.
    known = {_RECALL.name: together.get("accuracy", NoInterval.NOT_SPLIT)} if together else {}
    shown = labels[:MOST_CURVES]
    segments = [Segment(label, label, support[label], {"term": {"metrics.truth_label": label}}, {}) for label in shown]
    curves = _curves(runner, scope, task, _RECALL, window, segments, known)
    classes = [
        {"class": each.key, "n": each.count, "points": curve} for each, curve in zip(segments, curves, strict=True)
    ]
    return {
        "metric": _RECALL.name,
        "window": window,
        "classes": classes,
        "classes_left_out": len(labels) - len(shown),
    }


def by_value(
    runner: QueryRunner, scope: Scope, task: Task, segments: Sequence[Segment], window: str, together: Together
) -> list[Report]:
    """Return the headline by window of the first MOST_CURVES segments of a split; empty without windows."""
    if not window or not task.shown:
        return []
    headline = task.shown[0]
    curves = _curves(runner, scope, task, headline, window, segments[:MOST_CURVES], together)
    return [{"metric": headline.name, "window": window, "points": curve} for curve in curves]


def coverage(runner: QueryRunner, scope: Scope, window: str, maturity: Maturity | None) -> Report | None:
    """Return the share of the predictions of each window that have feedback; None without predictions.

    ``window`` empty: chosen by the span of the predictions; also where their span, which may be longer than that of the
    scored ones, has too many of it. Raises BadQueryError for what isn't a window.
    """
    if window:
        window_seconds(window)
        try:
            check_windows(runner, scope, scope.date_field, window, PREDICTION)
        except BadQueryError:
            window = ""
    window = window or window_of(runner, scope, PREDICTION)
    return _coverage(runner, scope, window, maturity) if window else None


def _coverage(runner: QueryRunner, scope: Scope, window: str, maturity: Maturity | None) -> Report:
    sides = [Segment(None, "", 0, query, {}) for query in (PREDICTION, WITH_FEEDBACK)]
    predictions, with_feedback = over_time_of_each(runner, scope, [], window, sides, PREDICTION)
    found = {each.key: each.count for each in with_feedback}
    points = [
        {
            "start": utc_text(each.key),
            "n": each.count,
            "with_feedback": found.get(each.key, 0),
            "share": found.get(each.key, 0) / each.count,
            "mature": is_mature(each, maturity),
        }
        for each in predictions
    ]
    return {"window": window, "points": points}


def is_mature(segment: Segment, maturity: Maturity | None) -> bool | None:
    """Return whether all predictions of a window are mature; None if unknown, and for windows of feedback."""
    ends = segment.only["range"].get(PREDICTION_DATE)
    return (
        None if maturity is None or ends is None else maturity.is_mature(datetime.fromtimestamp(ends["lt"] / 1000, UTC))
    )


def _curves(
    runner: QueryRunner,
    scope: Scope,
    task: Task,
    metric: Metric,
    window: str,
    segments: Sequence[Segment],
    together: Together,
) -> list[list[Report]]:
    def point(segment: Segment) -> Report:
        found = estimates([metric], segment.answers, together=together)
        return point_as_json(segment, [as_json(each) for each in found])

    curves = over_time_of_each(runner, scope, statistics_of([metric]), window, segments, task.only)
    return [[point(segment) for segment in curve] for curve in curves]
