"""The report's section on evaluations: means, shares of labels, agreement of raters, the judge against people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from request_logger.analytics.buckets import Segment, over_time
from request_logger.analytics.class_averages import intervals_by_class
from request_logger.analytics.estimate_json import as_json, point_as_json, split_as_json
from request_logger.analytics.estimates import estimates, statistics_of
from request_logger.analytics.evaluations import (
    EvaluationTask,
    estimates_of,
    evaluation_names,
    evaluation_task,
    judge_by_label,
    rater_agreement,
    shown,
    with_alphas,
)
from request_logger.analytics.fields import Field
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Scope
from request_logger.analytics.splits import split_by, window_of
from scorers import evaluations as roll_ups
from scorers.base import Metric

Json = dict[str, Any]

# Names and pairs of raters that a report lists.
MOST_NAMES = 50
MOST_PAIRS = 10


def evaluations_report(runner: QueryRunner, scope: Scope, field: Field | None, window: str) -> list[Json]:
    """Return an object per name of an evaluation, the one with the most documents first, for up to MOST_NAMES names.

    ``field`` splits each by its values. Raises what :class:`QueryRunner` raises.
    """
    names = list(evaluation_names(runner, scope).items())[:MOST_NAMES]
    tasks = [evaluation_task(runner, scope, name, count) for name, count in names]
    return [_evaluation(runner, scope, task, field, window) for task in tasks]


def _evaluation(runner: QueryRunner, scope: Scope, task: EvaluationTask, field: Field | None, window: str) -> Json:
    matrix_need, pairs_need = roll_ups.judge_matrix(task.name), roll_ups.rater_pairs(task.name)
    ratings, failed = roll_ups.ratings_need(task.name), roll_ups.failed_need(task.name)
    answers = runner.fetch(scope, [*statistics_of(task.metrics), ratings, failed, pairs_need], task.only)
    chosen = shown(task, answers)
    pairs = rater_agreement(answers[pairs_need])
    found = with_alphas(runner, scope, task, answers, estimates_of(task, answers))
    section: Json = {
        "name": task.name,
        "documents": task.count,
        "ratings": int(answers[ratings]),
        "failed": int(answers[failed]) or None,
        "shown": [metric.name for metric in chosen],
        "metrics": [as_json(each) for each in found],
        "raters": pairs[:MOST_PAIRS],
        "rater_pairs_left_out": len(pairs[MOST_PAIRS:]) or None,
        "judge": _judge(answers[matrix_need]),
    }
    if chosen:
        section["over_time"] = _over_time(runner, scope, task, chosen[0], window)
        section["by"] = _by(runner, scope, task, chosen, field) if field is not None else None
    return section


def _judge(matrix: dict[str, dict[str, int]]) -> Json | None:
    if not matrix:
        return None
    table = judge_by_label(matrix)
    for label, intervals in intervals_by_class(table).items():
        table[label]["intervals"] = {name: [each.low, each.high] for name, each in intervals.items()}
    return {"matrix": matrix, "by_label": table}


def _over_time(runner: QueryRunner, scope: Scope, task: EvaluationTask, metric: Metric, window: str) -> Json | None:
    chosen = window or window_of(runner, scope, task.only)
    if not chosen:
        return None
    segments = over_time(runner, scope, statistics_of([metric]), chosen, task.only)
    points = [point_as_json(segment, _metrics(segment, [metric])) for segment in segments]
    return {"metric": metric.name, "window": chosen, "points": points}


def _by(runner: QueryRunner, scope: Scope, task: EvaluationTask, metrics: Sequence[Metric], field: Field) -> Json:
    split = split_by(runner, scope, statistics_of(metrics), field, task.only)
    return split_as_json(split, [field], lambda segment: {"metrics": _metrics(segment, metrics)})


def _metrics(segment: Segment, metrics: Sequence[Metric]) -> list[Json]:
    return [as_json(each) for each in estimates(metrics, segment.answers)]
