"""The whole report of a deployment, as one plain object: the command prints it, the page draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from request_logger.analytics import coverage as feedback
from request_logger.analytics import curves
from request_logger.analytics.buckets import Part, by_ranges, fill, over_time, quantile_edges, values_of
from request_logger.analytics.estimates import Estimate, estimates, intervals_by_class, questions_of
from request_logger.analytics.fields import Field, find_field
from request_logger.analytics.label_averages import ask_together
from request_logger.analytics.queries import Answers, Asker
from request_logger.analytics.scope import Scope, find_scope
from request_logger.analytics.tasks import Task, tasks_of
from request_logger.analytics.vocabularies import DISJOINT, are_disjoint
from request_logger.settings import Settings
from request_logger.store.excluded_indices import left_out_note
from request_logger.store.ports import EngineReader
from scorers.base import Metric
from scorers.classification import MATRIX

Report = dict[str, Any]

# Windows to choose from, the first of which there are at most so many.
_WINDOWS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "6h": 21_600, "1d": 86_400, "1w": 604_800, "month": 2_592_000}
_MOST_WINDOWS = 40
MOST_PARTS = 50
# A number with more values than that is shown by ranges.
_MOST_NUMBERS = 12
_RANGES = 4
_DELAYS = {"minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_QUANTILES = (0.5, 0.9, 0.99)
_MOST_POINTS = 100


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for; see `find_scope` for ``target``, ``start``, ``end`` and ``by_date``.

    ``by``: a field to split by. ``window``: the length of time of one point of the curve; empty: chosen.
    """

    target: str = ""
    start: str | None = None
    end: str | None = None
    by: str = ""
    window: str = ""
    by_date: str = "prediction"


def make_report(engine: EngineReader, settings: Settings, options: Options, *, only_own: bool = False) -> Report:
    """Make the report. Raises BadQuestionError where an option makes no sense, StoreUnavailableError.

    ``only_own``: of no other indices than the logger's, see `find_scope`.

    Everything in it is JSON; what isn't defined over these documents is left out, and so is an empty list of points.
    An index that can't answer is left out of all figures, and named in ``left_out`` and in a note.
    """
    asker = Asker(engine)
    scope = find_scope(engine, settings, options.target, options.start, options.end, options.by_date, only_own=only_own)
    report = asker.settled(lambda: _report(asker, settings, scope, options), scope.indices)
    left_out = asker.left_out.as_json()
    if left_out:
        report["notes"] = [left_out_note(left_out), *report["notes"]]
        report["left_out"] = left_out
    return report


def _report(asker: Asker, settings: Settings, scope: Scope, options: Options) -> Report:
    # It is wrong for any documents, so it is looked at before the first.
    field = find_field(asker, scope, options.by) if options.by else None
    report: Report = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "target": options.target,
        "indices": scope.indices,
        "from": options.start,
        "to": options.end,
        "by_date": options.by_date,
        "coverage": _coverage(asker, scope),
        "delay": _delay(asker, scope),
        "unscorable": [{"reason": reason, "n": n} for reason, n in feedback.reasons(asker, scope)],
        "tasks": [_task(asker, scope, task, field, options) for task in tasks_of(asker, scope, settings)],
    }
    notes = _notes(asker, scope, report, options)
    return {"tasks": [], **_without_nothing(report), "notes": notes}


def _coverage(asker: Asker, scope: Scope) -> Report:
    found = feedback.coverage(asker, scope)
    return {**asdict(found), "share": found.share}


def _delay(asker: Asker, scope: Scope) -> Report | None:
    """Say how late feedback is, in seconds."""
    found = feedback.delay(asker, scope)
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


def _task(asker: Asker, scope: Scope, task: Task, field: Field | None, options: Options) -> Report:
    answers = asker.answers(scope, questions_of(task.metrics), task.only)
    answers |= ask_together(asker, scope, answers, task.only)
    matrix = answers.get(MATRIX["matrix"])
    if are_disjoint(matrix):
        return {"scorer": task.name, "documents": task.count, "reason": DISJOINT, "confusion_matrix": matrix}
    found: Report = {
        "scorer": task.name,
        "documents": task.count,
        "shown": [metric.name for metric in task.shown],
        "metrics": [as_json(each) for each in estimates(task.metrics, answers)],
        "per_class": _per_class(task, answers),
        "confusion_matrix": matrix,
        "reliability": curves.reliability(task.metrics, answers),
        "roc": curves.roc(task.metrics, answers),
        "over_time": _over_time(asker, scope, task, options),
    }
    if task.name == "regression":
        found["residuals"] = curves.residuals(asker, scope, task.only, answers)
        found["errors_by_prediction"] = curves.errors_by_prediction(asker, scope, task.only)
    if field is not None and task.shown:
        found["by"] = _by(asker, scope, task, field)
    return found


def as_json(found: Estimate) -> Report:
    """Return an estimate as JSON."""
    interval = found.interval
    return {
        "name": found.name,
        "value": found.value,
        **({"low": interval.low, "high": interval.high, "method": interval.method} if interval else {}),
        "n": found.n,
        "baseline": found.baseline,
        "higher_is_better": found.higher_is_better,
    }


def _per_class(task: Task, answers: Answers) -> Report:
    rows: Report = {}
    for metric in task.metrics:
        if metric.per_class:
            table = metric.compute({key: answers[need] for key, need in metric.needs.items()})
            rows.update(table if isinstance(table, dict) else {})
    known = intervals_by_class(rows) if all("true_positive" in row for row in rows.values()) else {}
    for label, intervals in known.items():
        rows[label]["intervals"] = {name: [found.low, found.high] for name, found in intervals.items()}
    return rows


def _over_time(asker: Asker, scope: Scope, task: Task, options: Options) -> Report | None:
    """Give the headline metric for each window of time."""
    if not task.shown:
        return None
    window = options.window or _window(asker, scope, task)
    if not window:
        return None
    headline = task.shown[0]
    parts = over_time(asker, scope, questions_of([headline]), window, task.only)
    points = [{"start": part.key.isoformat().replace("+00:00", "Z"), **_values(part, [headline])} for part in parts]
    return {"metric": headline.name, "window": window, "points": points}


def _window(asker: Asker, scope: Scope, task: Task) -> str:
    """Choose the shortest window of which there are not too many."""
    aggs = {name: {name: {"field": scope.date_field}} for name in ("min", "max")}
    found = asker.aggregate(scope, aggs, task.only)
    if not found or found["min"]["value"] is None:
        return ""
    span = (found["max"]["value"] - found["min"]["value"]) / 1000
    return next((name for name, seconds in _WINDOWS.items() if span <= seconds * (_MOST_WINDOWS - 1)), "month")


def _by(asker: Asker, scope: Scope, task: Task, field: Field) -> Report:
    """Split by a field: by ranges where it is a number of many values, else by value."""
    questions = questions_of(task.shown)
    distinct = {"distinct": {"cardinality": {"field": field.path, "precision_threshold": 100}}}
    many = field.is_number and asker.aggregate(scope, distinct, task.only)["distinct"]["value"] > _MOST_NUMBERS
    left = left_out = 0
    if many:
        edges = quantile_edges(asker, scope, field, _RANGES, task.only)
        parts = by_ranges(asker, scope, questions, field, edges, task.only)
    else:
        listed = values_of(asker, scope, field, task.only)
        left, left_out = len(listed[MOST_PARTS:]), sum(part.count for part in listed[MOST_PARTS:])
        parts = fill(asker, scope, questions, listed[:MOST_PARTS], [task.only])
    found = {"field": field.path, "name": field.name, "ranges": bool(many), "parts": []}
    found["parts"] = [{"value": part.label, "n": part.count, "metrics": _metrics(part, task.shown)} for part in parts]
    return {**found, "values_left_out": left, "documents_left_out": left_out}


def _metrics(part: Part, metrics: Sequence[Metric]) -> list[Report]:
    return [as_json(found) for found in estimates(metrics, part.answers)]


def _values(part: Part, metrics: Sequence[Metric]) -> Report:
    found = next(iter(_metrics(part, metrics)), {})
    return {"n": part.count, **{name: found[name] for name in ("value", "low", "high") if name in found}}


def _notes(asker: Asker, scope: Scope, report: Report, options: Options) -> list[str]:
    """Say what limits the figures."""
    notes = []
    rows = asker.count(scope, {"range": {"feedback.items": {"gt": 1}}})
    if rows:
        notes.append(
            f"{rows} of the documents are rows of batches. Rows of one batch are often alike: then the intervals, which"
            " take documents as independent, are too narrow."
        )
    if options.by_date == "feedback":
        notes.append("By the date of the feedback: predictions without feedback are in no span of time.")
    unknown = [task["scorer"] for task in report["tasks"] if not task.get("metrics") and "reason" not in task]
    if unknown:
        notes.append(
            f"Nothing is known here of the scorer {', '.join(unknown)}: name it in SCORER or SCORERS_CONFIG, as for the"
            " server that wrote these documents."
        )
    return notes


def _without_nothing(found: Report) -> Report:
    """Leave out what isn't there."""
    return {key: _cleaned(value) for key, value in found.items() if value is not None and value not in ([], {})}


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return _without_nothing(value)
    return [_cleaned(each) for each in value] if isinstance(value, list) else value
