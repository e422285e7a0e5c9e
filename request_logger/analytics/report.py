"""Builds the report of a deployment as one JSON object, which the command prints and the page draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from request_logger.analytics import coverage as feedback
from request_logger.analytics import curves
from request_logger.analytics.buckets import over_time, window_seconds
from request_logger.analytics.class_tables import class_table
from request_logger.analytics.conditions import where
from request_logger.analytics.consistency import Judgement, judge
from request_logger.analytics.deployments import several
from request_logger.analytics.drift.report import DriftOptions, drift_over
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.estimate_json import as_json, point_as_json
from request_logger.analytics.estimates import estimates, needs_folds, statistics_of, with_folds
from request_logger.analytics.evaluation_report import evaluations_report
from request_logger.analytics.fairness.report import fairness_of_task
from request_logger.analytics.feedback.section import has_selection, selection_report
from request_logger.analytics.fields import Field, find_field
from request_logger.analytics.intervals import NoInterval
from request_logger.analytics.jackknife import Folds, fetch_folds
from request_logger.analytics.label_averages import fetch_cooccurrences
from request_logger.analytics.label_delays import delays_by_label
from request_logger.analytics.llm_answers import answers_report
from request_logger.analytics.maturity import COMPLETE, FEW_LABELS, NO_DELAYS, Maturity, find_maturity, only_mature
from request_logger.analytics.near_deployments import near_deployments
from request_logger.analytics.plot_data import over_time as curves_over_time
from request_logger.analytics.plot_data.predicted_actual import predicted_actual
from request_logger.analytics.plot_data.scores import histogram, with_intervals
from request_logger.analytics.positive_class import positive_class, positive_class_warnings
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.report_notes import limits_of
from request_logger.analytics.report_parts import ALL_PARTS, Part
from request_logger.analytics.scope import Scope, find_scope
from request_logger.analytics.selection import IN_BATCHES
from request_logger.analytics.shares import INDEPENDENT, Dependence
from request_logger.analytics.slices.report import slices_of_task
from request_logger.analytics.split_report import Together, segment_metrics, split_report
from request_logger.analytics.splits import span_of, window_for
from request_logger.analytics.surface import Surface
from request_logger.analytics.tasks import Task, tasks_of
from request_logger.analytics.thresholds.cells import Costs
from request_logger.analytics.thresholds.report import figures as threshold_figures
from request_logger.analytics.token_prices import TokenPrices
from request_logger.analytics.vocabularies import DISJOINT, are_disjoint
from request_logger.analytics.windows import windows_of
from request_logger.common.times import utc_text
from request_logger.settings import Settings
from request_logger.store.excluded_indices import left_out_note
from request_logger.store.ports import EngineReader
from scorers.base import Metric
from scorers.classification import MATRIX

Report = dict[str, Any]

_DELAYS = {"minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
# Metrics that aren't a number.
_TABLES = {"confusion_matrix"}
_QUANTILES = (0.5, 0.9, 0.99)
# Points of the delay curve, closer than a plot 360 wide can show.
_MOST_POINTS = 100


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a report; see `find_scope` for ``target``, ``start``, ``end`` and ``by_date``.

    ``by``: a field to split by, ``across``: a second one, which the first is crossed with. ``window``: the time span of
    one point of the curve; empty: chosen by the span of the documents. ``mature``: only predictions that are old enough
    for their labels. ``slices``: whether to look for the worst slices in all fields. ``where``: conditions, see
    `conditions.where`. ``against``: what inputs and predictions are compared with, see `drift_over`; empty: nothing.
    ``costs``: the value of each outcome of two classes, by which thresholds are judged; None: by F1. ``metric``: that
    of the curves over time; empty: each scorer's headline. ``parts``: those that are computed. ``surface``: where the
    notes are read.
    """

    target: str = ""
    start: str | None = None
    end: str | None = None
    by: str = ""
    window: str = ""
    by_date: str = "prediction"
    mature: bool = False
    slices: bool = False
    where: tuple[str, ...] = ()
    against: str = ""
    across: str = ""
    costs: Costs | None = None
    metric: str = ""
    parts: frozenset[Part] = ALL_PARTS
    surface: Surface = Surface.TERMINAL


def make_report(engine: EngineReader, settings: Settings, options: Options, *, only_own: bool = False) -> Report:
    """Return the report, or of several deployments their list. Raises BadQueryError, StoreUnavailableError.

    A list has ``deployments`` (`deployments_report`) and no ``tasks``: a figure over all would be of unrelated models.
    ``only_own`` restricts it to the logger's own indices, see `find_scope`. The report is JSON; undefined values and
    empty lists are omitted. Indices that can't answer are left out of all figures, and named in ``left_out`` and in a
    note.
    """
    runner = QueryRunner(engine)
    scope = find_scope(engine, settings, options.target, options.start, options.end, options.by_date, only_own=only_own)
    report = runner.settled(lambda: _report_or_list(runner, settings, scope, options), scope.indices)
    left_out = runner.left_out.as_json()
    if left_out:
        report["notes"] = [left_out_note(left_out), *report["notes"]]
        report["left_out"] = left_out
    if options.target and not report["coverage"]["predictions"]:
        report |= _near(runner, settings, options.target, only_own=only_own)
    if options.against and not report.get("deployments"):
        report["drift"] = drift_of(engine, settings, scope, options)
    return report


def drift_of(engine: EngineReader, settings: Settings, scope: Scope, options: Options) -> Report:
    """Return the drift of a report's documents, see `drift_over`; ``scope`` is without the conditions of the options.

    Raises BadQueryError, StoreUnavailableError.
    """
    if options.by_date != "prediction":
        raise BadQueryError("--against: expected the dates of predictions, not those of the feedback")
    asked = DriftOptions(
        options.target, options.against, options.start, options.end, where=options.where, surface=options.surface
    )
    # A report only reads: the cells are stored by the command.
    return drift_over(engine, settings, scope, asked, stores=False)


def _near(runner: QueryRunner, settings: Settings, target: str, *, only_own: bool) -> Report:
    if any(character in target for character in "*,"):
        return {}
    similar = near_deployments(runner, settings, target, only_own=only_own)
    return {"similar": similar} if similar else {}


def _report_or_list(runner: QueryRunner, settings: Settings, scope: Scope, options: Options) -> Report:
    # Checked first, since an unknown field is an error whatever the documents are.
    if options.window:
        window_seconds(options.window)
    if options.against:
        windows_of(scope, options.against)
    scope = where(runner, scope, options.where)
    fields = tuple(find_field(runner, scope, name) for name in (options.by, options.across) if name)
    listed = several(runner, scope, settings, options.target, "A report is", options.surface)
    if listed is not None:
        asked = _asked(scope, options) | {"coverage": _coverage(runner, scope)}
        return {"tasks": [], **_without_empty(asked), **listed}
    return _report(runner, settings, scope, options, fields)


def _asked(scope: Scope, options: Options) -> Report:
    """Return what was asked for, and when."""
    return {
        "made_at": utc_text(datetime.now(UTC), "seconds"),
        "target": options.target,
        "indices": scope.indices,
        "from": options.start,
        "to": options.end,
        "by_date": options.by_date,
        "where": list(options.where),
    }


def _report(runner: QueryRunner, settings: Settings, scope: Scope, options: Options, fields: Sequence[Field]) -> Report:
    prices = TokenPrices(settings.token_prices)
    has_curves, has_feedback = Part.CURVES in options.parts, Part.FEEDBACK in options.parts
    is_dated = has_curves or has_feedback or options.mature
    maturity = find_maturity(runner, scope) if is_dated else None
    marking = maturity
    if options.mature:
        # The last window is cut off where the mature predictions end.
        scope, marking = only_mature(scope, maturity), None
    judgement = judge(runner, scope)
    rows = runner.count(scope, IN_BATCHES)
    are_together = bool(rows or settings.fold_key)
    tasks = tasks_of(runner, scope, settings)
    _check_metric(tasks, options.metric)
    if has_feedback and has_selection(runner, scope):
        options = replace(options, parts=options.parts | {Part.METRICS})
    report: Report = {
        **_asked(scope, options),
        "coverage": _coverage(runner, scope),
        "coverage_over_time": _coverage_over_time(runner, scope, options, maturity) if has_feedback else None,
        "delay": _delay(runner, scope) if has_feedback else None,
        "maturity": _maturity(maturity),
        "delay_by_label": delays_by_label(runner, scope, maturity) if has_feedback else None,
        "unscorable": [{"reason": reason, "n": n} for reason, n in feedback.reasons(runner, scope)],
        "tasks": [
            _task(runner, scope, settings, task, judgement, fields, options, marking, are_together=are_together)
            for task in tasks
        ],
    }
    if has_curves:
        report["evaluations"] = evaluations_report(runner, scope, fields[0] if fields else None, options.window)
        report["answers"] = answers_report(runner, scope, prices)
    if has_feedback:
        report["selection"] = selection_report(runner, scope, tasks, report["tasks"], are_together=are_together)
    shown = {task["scorer"] for task in report["tasks"]}
    unseen = [f"{reason}." for scorer, reason in judgement.reasons.items() if scorer not in shown]
    notes = [*judgement.notes, *unseen, *limits_of(report, options.by_date, rows, settings, options.surface)]
    warnings = [*judgement.warnings, *positive_class_warnings(report["tasks"], options.target)]
    warned = {"warnings": warnings} if warnings else {}
    return {"tasks": [], **_without_empty(report), **warned, "notes": notes}


def _computed(task: Task, parts: frozenset[Part]) -> tuple[Metric, ...]:
    """Return the metrics of a task that some parts of a report need: the sums of all take most of the time."""
    if Part.METRICS in parts:
        return task.metrics
    # Whether any figure can be trusted is said by the matrix.
    headline = {metric.name for metric in task.shown[:1]} | _TABLES
    has_classes = Part.CLASSES in parts
    return tuple(each for each in task.metrics if each.name in headline or (each.per_class and has_classes))


def _check_metric(tasks: Sequence[Task], name: str) -> None:
    known = {metric.name for task in tasks for metric in task.metrics if not metric.per_class} - _TABLES
    if name and tasks and name not in known:
        raise BadQueryError(f"--metric: expected one of {', '.join(sorted(known))}, found {name!r}")


def _coverage(runner: QueryRunner, scope: Scope) -> Report:
    found = feedback.coverage(runner, scope)
    return {**asdict(found), "share": found.share}


def _coverage_over_time(
    runner: QueryRunner, scope: Scope, options: Options, maturity: Maturity | None
) -> Report | None:
    if options.by_date == "feedback":
        return None
    return curves_over_time.coverage(runner, scope, options.window, maturity)


def _delay(runner: QueryRunner, scope: Scope) -> Report | None:
    """Return the feedback delay (seconds) as JSON: mean, quantiles, shares within a day, points of the curve."""
    found = feedback.delay(runner, scope)
    if found is None:
        return None
    step = max(len(found.sample) // _MOST_POINTS, 1)
    n = len(found.sample)
    points = [{"seconds": found.sample[k], "share": (k + 1) / n} for k in range(step - 1, n, step)]
    return {
        "n": found.n,
        "mean": found.mean,
        "sample": n,
        "quantiles": {f"{share:g}": found.quantile(share) for share in _QUANTILES},
        "within": {name: found.within(seconds) for name, seconds in _DELAYS.items()},
        "points": points,
    }


def _task(
    runner: QueryRunner,
    scope: Scope,
    settings: Settings,
    task: Task,
    judgement: Judgement,
    fields: Sequence[Field],
    options: Options,
    maturity: Maturity | None,
    *,
    are_together: bool,
) -> Report:
    if task.name in judgement.reasons:
        return {"scorer": task.name, "documents": task.count, "reason": judgement.reasons[task.name]}
    whole = replace(task, metrics=judgement.kept(task.name, task.metrics))
    task = replace(whole, metrics=_computed(whole, options.parts))
    statistics = statistics_of(task.metrics)
    answers = runner.fetch(scope, statistics, task.only)
    answers |= fetch_cooccurrences(runner, scope, answers, task.only)
    matrix = answers.get(MATRIX["matrix"])
    if are_disjoint(matrix):
        return {"scorer": task.name, "documents": task.count, "reason": DISJOINT, "confusion_matrix": matrix}
    metrics = estimates(task.metrics, answers)
    folds: Folds | None = None
    if are_together or needs_folds(metrics):
        folds = fetch_folds(runner, scope, statistics, task.only, task.count, are_together=are_together)
        metrics = with_folds(metrics, task.metrics, answers, folds)
    # A part of the documents belongs together as all of them do.
    together: Together = {}
    cautious = INDEPENDENT
    if folds is not None and are_together:
        together = {each.name: each.together or each.why or NoInterval.NOT_SPLIT for each in metrics}
        cautious = folds.cautious
    has_curves = Part.CURVES in options.parts
    has_classes = Part.CLASSES in options.parts
    # One search for the windows of all curves.
    span = span_of(runner, scope, task.only) if (has_curves or has_classes) and not options.window else None
    window = options.window or window_for(span)
    window_of_parts = options.window or window_for(span, curves_over_time.MOST_WINDOWS)
    found: Report = {
        "scorer": task.name,
        "documents": task.count,
        **positive_class(runner, scope, task),
        "shown": [metric.name for metric in task.shown],
        "metrics": [as_json(each) for each in metrics],
        "largest_fold": folds.largest if folds else None,
        "per_class": class_table(task.metrics, answers, folds),
        "confusion_matrix": matrix,
        "reliability": curves.reliability(task.metrics, answers, _known(together.get("accuracy"), cautious)),
        "roc": curves.roc(task.metrics, answers),
        "over_time": _over_time(runner, scope, task, window, options, together, maturity) if has_curves else None,
        "thresholds": with_intervals(
            threshold_figures(answers, options.costs), _known(together.get("accuracy"), cautious)
        ),
        "score_histogram": histogram(task.metrics, answers),
    }
    if has_classes:
        found["over_time_by_class"] = curves_over_time.by_class(
            runner, scope, task, matrix or {}, window_of_parts, together
        )
    if task.name == "regression" and has_curves:
        found["residuals"] = curves.residuals(runner, scope, task.only, answers)
        found["errors_by_prediction"] = curves.errors_by_prediction(
            runner, scope, task.only, _known(together.get("mean_error"), cautious)
        )
        found["predicted_actual"] = predicted_actual(runner, scope, task.only)
    if fields and task.shown and has_curves:
        found["by"] = split_report(runner, scope, task, fields, window_of_parts, together, has_classes=has_classes)
    if fields and task.name == "binary" and has_curves:
        found["fairness"] = fairness_of_task(runner, settings, scope, task, fields[0])
    if options.slices:
        found["slices"] = slices_of_task(runner, settings, scope, whole)
    return found


def _known(found: Dependence | NoInterval | None, cautious: Dependence) -> Dependence:
    return found if isinstance(found, Dependence) else cautious


def _maturity(found: Maturity | None) -> Report | None:
    """Return how complete labels are by age as JSON; None with few labels or none."""
    if found is None or found.problem in (NO_DELAYS, FEW_LABELS):
        return None
    curve = [{"seconds": edge, "share": share} for edge, share in zip(found.edges, found.shares, strict=True)]
    known = {"complete": COMPLETE, "seconds": found.age, "before": found.cutoff and utc_text(found.cutoff)}
    return {**known, "problem": found.problem, "labels": found.labels, "curve": curve}


def _over_time(
    runner: QueryRunner,
    scope: Scope,
    task: Task,
    window: str,
    options: Options,
    together: Together,
    maturity: Maturity | None,
) -> Report | None:
    """Return a metric (by default the first shown) per time window, and whether the window is mature, if known."""
    if not task.shown or not window:
        return None
    headline = next((metric for metric in task.metrics if metric.name == options.metric), task.shown[0])
    segments = over_time(runner, scope, statistics_of([headline]), window, task.only)
    points = [
        {
            **point_as_json(segment, segment_metrics(segment, [headline], together)),
            "mature": curves_over_time.is_mature(segment, maturity),
        }
        for segment in segments
    ]
    return {"metric": headline.name, "window": window, "points": points}


def _without_empty(found: Report) -> Report:
    """Return a report without its None values and empty lists and objects."""
    return {key: _cleaned(value) for key, value in found.items() if value is not None and value not in ([], {})}


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return _without_empty(value)
    return [_cleaned(each) for each in value] if isinstance(value, list) else value
