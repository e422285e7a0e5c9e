"""The worst slices of a deployment as one JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from request_logger.analytics.chosen_documents import figures_over
from request_logger.analytics.consistency import judge
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.estimates import mean_field
from request_logger.analytics.fields import Field
from request_logger.analytics.intervals import Interval, mean_of
from request_logger.analytics.jackknife import Folds, design_effect, fold_segments, merged, without_each
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.rollups import Moments, MomentSums
from request_logger.analytics.scope import Query, Scope
from request_logger.analytics.selection import IN_BATCHES, exists, having
from request_logger.analytics.slices.effects import Effect, Measure
from request_logger.analytics.slices.parts import MOST_FIELDS, candidate_fields, named_fields
from request_logger.analytics.slices.search import (
    LEAST_DOCUMENTS,
    LEAST_SHARE,
    MOST_FOUND,
    Rank,
    Search,
    Slice,
    find_slices,
)
from request_logger.analytics.tasks import Task, tasks_of
from request_logger.common.mapped_fields import ORIGIN
from request_logger.settings import Settings
from request_logger.store.ports import EngineReader
from scorers.base import Metric

Report = dict[str, Any]
# Both halves need slices of LEAST_DOCUMENTS and a rest of as many.
_LEAST = 4 * LEAST_DOCUMENTS


@dataclass(frozen=True, slots=True)
class Options:
    """The options; see `find_scope` for ``target``, ``start``, ``end`` and ``by_date``.

    ``fields``: those to look at; empty: all that the documents have. ``metric``: the mean to compare; empty: the first
    that the scorer shows.
    ``where``: conditions, see `conditions.where`.
    """

    target: str = ""
    start: str | None = None
    end: str | None = None
    by_date: str = "prediction"
    fields: tuple[str, ...] = ()
    metric: str = ""
    rank: Rank = Rank.EFFECT
    where: tuple[str, ...] = ()


def make_slices(engine: EngineReader, settings: Settings, options: Options) -> Report:
    """Return the worst slices of each task. Raises BadQueryError for an invalid option, StoreUnavailableError."""
    return figures_over(
        engine, settings, options, lambda runner, scope: _report(runner, settings, scope, options), "Slices are"
    )


def _report(runner: QueryRunner, settings: Settings, scope: Scope, options: Options) -> Report:
    reasons = judge(runner, scope).reasons
    tasks = tasks_of(runner, scope, settings)
    if options.metric and not any(_named(task, options.metric) for task in tasks):
        known = ", ".join(dict.fromkeys(name for task in tasks for name in _means(task))) or "none"
        raise BadQueryError(f"--metric: expected a mean over the documents ({known}), found {options.metric!r}")
    found = []
    for task in tasks:
        if options.metric and not _named(task, options.metric):
            continue
        made = {"reason": reasons[task.name]} if task.name in reasons else _task(runner, settings, scope, task, options)
        found.append({"scorer": task.name, "documents": task.count, **made})
    return {"tasks": found}


def slices_of_task(runner: QueryRunner, settings: Settings, scope: Scope, task: Task) -> Report:
    """Return the worst slices of one task of a report, in all fields. Raises what :class:`QueryRunner` raises."""
    return _task(runner, settings, scope, task, Options())


def _task(runner: QueryRunner, settings: Settings, scope: Scope, task: Task, options: Options) -> Report:
    metric = _named(task, options.metric) if options.metric else _default(task)
    if metric is None:
        return {"reason": "it has no metric that is a mean over documents"}
    field = mean_field(metric) or ""
    only = having(task.only, exists(f"metrics.{field}"))
    statistic = Moments(field)
    segments = [each for each in fold_segments(runner, scope, [statistic], only) if each.count]
    sizes = tuple(each.count for each in segments)
    missing = max(runner.count(scope, only) - sum(sizes), 0)
    notes = []
    if missing:
        notes.append(f"{missing:,} documents have no fold, and are left out: request-logger rescore adds it.")
    if sum(sizes) < _LEAST:
        return {"metric": metric.name, "reason": f"it needs {_LEAST} documents, found {sum(sizes)}", "notes": notes}
    whole: MomentSums = reduce(merged, (each.answers for each in segments))[statistic]
    measure = _measure(metric, field, whole)
    if settings.fold_key or runner.count(scope, only, IN_BATCHES):
        folds = Folds(without_each([each.answers for each in segments]), sizes, are_together=True)
        measure = replace(measure, effect=_design_effect(whole, folds, statistic))
        notes.append(
            f"Documents of a batch, or with the same FOLD_KEY, may be alike: the tests allow for {measure.effect:.3g}"
            " times the variance."
        )
    fields, more = _fields(runner, scope, only, options, sum(sizes))
    searched = find_slices(runner, scope, only, fields, measure, sum(sizes), options.rank)
    return {
        "metric": metric.name,
        "field": field,
        "mean": whole.total / whole.n,
        "design_effect": measure.effect,
        "looked_at": {"fields": searched.fields, "slices": searched.tested, "pairs": searched.pairs},
        "slices": [_slice(each, measure) for each in searched.found],
        "notes": [*notes, *_notes(searched, more)],
    }


def _fields(
    runner: QueryRunner, scope: Scope, only: Query, options: Options, documents: int
) -> tuple[list[Field], int]:
    if options.fields:
        return named_fields(runner, scope, only, options.fields), 0
    return candidate_fields(runner, scope, only, max(LEAST_DOCUMENTS, int(LEAST_SHARE * documents)))


def _notes(searched: Search, more: int) -> list[str]:
    notes = []
    if more:
        notes.append(f"{more} further fields are not looked at, only the {MOST_FIELDS} that most documents have.")
    if searched.worse > MOST_FOUND:
        notes.append(f"{searched.worse} slices are worse: the {MOST_FOUND} worst of them are listed.")
    return notes


def _means(task: Task) -> list[str]:
    return [metric.name for metric in task.metrics if _is_mean(metric)]


def _named(task: Task, name: str) -> Metric | None:
    return next((metric for metric in task.metrics if metric.name == name and _is_mean(metric)), None)


def _default(task: Task) -> Metric | None:
    """Return the first metric that is shown if it is a mean, or its root; else another one."""
    fields = [mean_field(metric) for metric in task.shown if metric.higher_is_better is not None]
    means = [metric for metric in task.metrics if _is_mean(metric)]
    first = (metric for field in fields if field for metric in means if mean_field(metric) == field)
    return next(first, next(iter(means), None))


def _is_mean(metric: Metric) -> bool:
    """Return whether a metric is a mean of a field, not its root, with a direction."""
    if metric.higher_is_better is None or mean_field(metric) is None:
        return False
    return metric.compute({"sum": 4.0, "n": 1}) == 4.0


def _measure(metric: Metric, field: str, whole: MomentSums) -> Measure:
    # In [0, 1] only 0 and 1 equal their squares.
    is_share = whole.low >= 0.0 and whole.high <= 1.0 and whole.total == whole.squares
    return Measure(metric.name, field, -1 if metric.higher_is_better else 1, is_share)


def _design_effect(whole: MomentSums, folds: Folds, statistic: Moments) -> float:
    mean = mean_of(whole)
    if mean is None or not mean.variance or folds.problem is not None:
        # Nothing is known: each fold counts as one document.
        return folds.cautious.effect
    sums: Sequence[MomentSums] = [answers[statistic] for answers in folds.without]
    interval = Interval(mean.mean, mean.mean, "", mean.standard_error)
    return design_effect([each.total / each.n for each in sums], interval, folds)


def _slice(found: Slice, measure: Measure) -> Report:
    second = None
    if found.second is not None:
        second = {**_effect(found.second), "p_adjusted": found.again}
        if found.interval is not None:
            second |= {"low": found.interval[0], "high": found.interval[1]}
    conditions = [part.conditions for part in found.parts]
    where = [text for some in conditions for text in some or ()] if None not in conditions else None
    return {
        **({"where": where} if where else {}),
        "parts": [{"field": part.field.path, "name": part.field.name, "value": part.label} for part in found.parts],
        "name": ", ".join(f"{short_name(part.field.name)} = {part.label}" for part in found.parts),
        "n": found.found.n + (found.second.n if found.second else 0),
        "confirmed": found.is_confirmed,
        "finding": {**_effect(found.found), "p_adjusted": found.adjusted, "shrunk": found.shrunk},
        **({"confirming": second} if second else {}),
        "cost": found.cost,
    }


def _effect(found: Effect) -> Report:
    return {"n": found.n, "mean": found.mean, "rest": found.rest, "worse": found.worse}


def short_name(name: str) -> str:
    """Return a field's name without the path of elements, metadata and tags."""
    for holder in ("elements.", "metadata.", "annotations.", "tags."):
        _, found, rest = name.partition(f".{holder}")
        if found:
            return rest
    return _ORIGINS.get(name.removesuffix(".keyword"), name)


_ORIGINS = {path: name for name, path in ORIGIN.items()}
