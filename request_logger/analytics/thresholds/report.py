"""Thresholds of the binary tasks of a deployment as one JSON object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from request_logger.analytics.chosen_documents import figures_over
from request_logger.analytics.consistency import judge
from request_logger.analytics.estimates import estimates, statistics_of, with_folds
from request_logger.analytics.intervals import Interval
from request_logger.analytics.jackknife import Folds, fold_segments, jackknife_interval, without_each
from request_logger.analytics.queries import Answers, QueryRunner
from request_logger.analytics.rollups import Statistic
from request_logger.analytics.scope import Scope
from request_logger.analytics.selection import IN_BATCHES, exists, having
from request_logger.analytics.tasks import Task, tasks_of
from request_logger.analytics.thresholds.areas import average_precision, kolmogorov_smirnov
from request_logger.analytics.thresholds.best import best_edge, most_possible, uncertainty
from request_logger.analytics.thresholds.cells import (
    Array,
    Cells,
    Costs,
    Objective,
    by_threshold,
    counts_of,
    distinct_edges,
    f1,
    threshold_of,
    value_by,
)
from request_logger.settings import Settings
from request_logger.store.ports import EngineReader
from scorers.base import Count, SumBy

Report = dict[str, Any]
BINS = SumBy(("truth_positive",), "score_bin")
_STORED = {name: Count(field) for name, field in (
    ("tp", "true_positive"), ("fp", "false_positive"), ("fn", "false_negative"), ("tn", "true_negative"),
)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """The options; see `find_scope` for ``target``, ``start``, ``end`` and ``by_date``.

    ``costs``: the value of each outcome; None: thresholds are judged by F1.
    ``where``: conditions, see `conditions.where`.
    """

    target: str = ""
    start: str | None = None
    end: str | None = None
    by_date: str = "prediction"
    costs: Costs | None = None
    where: tuple[str, ...] = ()


def make_thresholds(engine: EngineReader, settings: Settings, options: Options) -> Report:
    """Return the thresholds of each task with a score. Raises BadQueryError, StoreUnavailableError."""
    return figures_over(
        engine, settings, options, lambda runner, scope: _report(runner, settings, scope, options), "Thresholds are"
    )


def _report(runner: QueryRunner, settings: Settings, scope: Scope, options: Options) -> Report:
    judgement = judge(runner, scope)
    found = []
    for task in tasks_of(runner, scope, settings):
        if not has_scores(task):
            continue
        kept = Task(task.name, task.count, judgement.kept(task.name, task.metrics))
        if task.name in judgement.reasons:
            made: Report = {"reason": judgement.reasons[task.name]}
        elif not has_scores(kept):
            made = {"reason": "some of its predictions have no probability: a figure of the others would be of a part"}
        else:
            made = _task(runner, settings, scope, kept, options)
        found.append({"scorer": task.name, "documents": task.count, **made})
    return {
        "tasks": found,
        "notes": [*judgement.warnings, *judgement.notes],
    }


def has_scores(task: Task) -> bool:
    """Return whether a task has the bins of a score of two classes."""
    return any(BINS in metric.needs.values() for metric in task.metrics)


def figures(answers: Answers, costs: Costs | None = None) -> Report | None:
    """Return the figures that a report has: areas, the best threshold, and points; None without both classes.

    The best has the greatest value by ``costs``, or F1 without them.
    """
    positives, negatives = counts_of(answers.get(BINS, {}))
    return _figures(positives, negatives, value_by(costs) if costs else f1, costs)


def _figures(positives: Array, negatives: Array, objective: Objective, costs: Costs | None) -> Report | None:
    area, distance = average_precision(positives, negatives), kolmogorov_smirnov(positives, negatives)
    if area is None or distance is None:
        return None
    cells = by_threshold(positives, negatives)
    edge = best_edge(positives, negatives, objective)
    ks, ks_edge = distance
    return {
        "n": int(positives.sum() + negatives.sum()),
        "positives": int(positives.sum()),
        "average_precision": {"value": area.value, "least": area.least, "most": area.most},
        "ks": {"value": ks.value, "least": ks.least, "most": ks.most, "threshold": threshold_of(ks_edge)},
        "best": {
            "by": "value" if costs else "f1",
            **_row(cells, edge, costs),
            "most_possible": most_possible(positives, negatives, objective),
        },
        "thresholds": [_row(cells, each, costs) for each in distinct_edges(positives, negatives)],
    }


def _row(cells: Cells, edge: int, costs: Costs | None) -> Report:
    return {"threshold": threshold_of(edge), **outcomes(_at(cells, edge), costs)}


def _at(cells: Cells, edge: int) -> Cells:
    return Cells(*(float(each[edge]) for each in (cells.tp, cells.fp, cells.fn, cells.tn)))


def outcomes(cells: Cells, costs: Costs | None) -> Report:
    """Return the figures of one threshold; what is undefined is left out."""
    found = {name: int(getattr(cells, name)) for name in ("tp", "fp", "fn", "tn")}
    shares = {
        "precision": (cells.tp, cells.tp + cells.fp),
        "recall": (cells.tp, cells.tp + cells.fn),
        "false_positive_rate": (cells.fp, cells.fp + cells.tn),
        "f1": (2 * cells.tp, 2 * cells.tp + cells.fp + cells.fn),
    }
    known = {name: part / whole for name, (part, whole) in shares.items() if whole}
    return {**found, **known, **({"value": value_by(costs)(cells)} if costs else {})}


def _task(runner: QueryRunner, settings: Settings, scope: Scope, task: Task, options: Options) -> Report:
    costs = options.costs
    objective = value_by(costs) if costs else f1
    only = having(task.only, exists("metrics.score_bin"))
    area = [metric for metric in task.metrics if metric.name in ("auc", "auc_bound")]
    statistics: list[Statistic] = list(dict.fromkeys([BINS, *_STORED.values(), *statistics_of(area)]))
    answers = runner.fetch(scope, statistics, only)
    positives, negatives = counts_of(answers[BINS])
    found = _figures(positives, negatives, objective, costs)
    if found is None:
        return {"reason": "it needs predictions of both classes with a probability"}
    current = Cells(*(float(answers[need]) for need in _STORED.values()))
    found["current"] = outcomes(current, costs)
    are_together = bool(settings.fold_key or runner.count(scope, only, IN_BATCHES))
    segments = [each for each in fold_segments(runner, scope, statistics, only) if each.count]
    each = [segment.answers for segment in segments]
    missing = max(found["n"] - sum(segment.count for segment in segments), 0)
    folds = Folds(without_each(each), tuple(segment.count for segment in segments), missing, are_together)
    found["gini"] = _gini(task, answers, folds)
    found["average_precision"] |= _area_interval(found["average_precision"], folds)
    if folds.problem is not None:
        found["best"]["no_interval"] = str(folds.problem)
        return found
    rows = [counts_of(some[BINS]) for some in each]
    p, n = (np.array([row[k] for row in rows]) for k in (0, 1))
    stored = Cells(*(np.array([float(some[need]) for some in each]) for need in _STORED.values()))
    sure = uncertainty(p, n, objective, stored)
    found["best"] |= {
        "threshold_low": threshold_of(sure.edges[0]),
        "threshold_high": threshold_of(sure.edges[1]),
        "elsewhere": sure.value,
        "elsewhere_low": sure.interval[0],
        "elsewhere_high": sure.interval[1],
    }
    if sure.gain is not None and sure.gain_interval is not None:
        found["best"] |= {"gain": sure.gain, "gain_low": sure.gain_interval[0], "gain_high": sure.gain_interval[1]}
    return found


def _gini(task: Task, answers: Answers, folds: Folds) -> Report:
    """Return Gini = 2 AUC - 1, with the interval of the AUC and the bounds that binning leaves."""
    metrics = [metric for metric in task.metrics if metric.name in ("auc", "auc_bound")]
    known = estimates(metrics, answers)
    if folds.are_together:
        known = with_folds(known, metrics, answers, folds)
    by_name = {each.name: each for each in known}
    area, bound = by_name["auc"], by_name["auc_bound"].value
    found = {"value": 2 * area.value - 1, "least": 2 * (area.value - bound) - 1, "most": 2 * (area.value + bound) - 1}
    if area.interval is not None:
        found |= {"low": 2 * area.interval.low - 1, "high": 2 * area.interval.high - 1}
    return found


def _area_interval(found: Report, folds: Folds) -> Report:
    """Return the interval of the average precision from the folds, extended by what binning leaves open."""
    areas = [average_precision(*counts_of(some[BINS])) for some in folds.without]
    values = [area.value if area else None for area in areas]
    interval = jackknife_interval(found["value"], values, folds, (0.0, 1.0))
    if not isinstance(interval, Interval):
        return {"no_interval": str(interval)}
    return {
        "low": max(interval.low - (found["value"] - found["least"]), 0.0),
        "high": min(interval.high + (found["most"] - found["value"]), 1.0),
    }
