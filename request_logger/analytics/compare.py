"""Compares two groups of predictions: two predictors, two models, or any two values of a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from request_logger.analytics.buckets import label_of, value_segment
from request_logger.analytics.consistency import comparable
from request_logger.analytics.differences import difference, plain_means, proportions, variance_of
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.estimates import estimates, mean_field, statistics_of
from request_logger.analytics.fields import Field, find_field
from request_logger.analytics.label_averages import fetch_cooccurrences
from request_logger.analytics.paired_samples import find_pairs
from request_logger.analytics.queries import Answers, QueryRunner
from request_logger.analytics.report import Report, as_json
from request_logger.analytics.scope import Query, Scope, find_scope
from request_logger.analytics.tasks import Task, tasks_of
from request_logger.analytics.verdict import difference_as_json, pair_test, verdict
from request_logger.settings import Settings
from request_logger.store.ports import EngineReader
from scorers.base import Metric

# Fields tried for both names where ``by`` is empty, in this order.
_FIELDS = ("predictor", "model", "deployment")
# The deciding metric where the task's first shown metric has no test.
_TESTED = {"regression": "mse", "multilabel": "subset_accuracy"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The options of a comparison: documents with ``a`` in the field ``by`` against those with ``b``.

    ``metric`` decides (empty: the task's default). ``pair`` is how pairs are found, see `find_pairs`; the other fields
    are those of `find_scope`.
    """

    a: str
    b: str
    target: str = ""
    by: str = ""
    metric: str = ""
    start: str | None = None
    end: str | None = None
    by_date: str = "prediction"
    pair: str = "auto"


def compare(engine: EngineReader, settings: Settings, comparison: Comparison) -> Report:
    """Return the comparison of two groups as JSON.

    It has ``metrics`` (each with both values, difference, interval, p-value, sample sizes), ``paired`` where pairs were
    found, and the ``verdict`` by the deciding metric. Raises BadQueryError where a group isn't found,
    StoreUnavailableError.
    """
    runner = QueryRunner(engine)
    scope = find_scope(engine, settings, comparison.target, comparison.start, comparison.end, comparison.by_date)
    found = runner.settled(lambda: _compare(runner, settings, scope, comparison), scope.indices)
    left_out = runner.left_out.as_json()
    return {**found, **({"left_out": left_out} if left_out else {})}


def _compare(runner: QueryRunner, settings: Settings, scope: Scope, comparison: Comparison) -> Report:
    field, segments = _groups(runner, scope, comparison)
    tasks = [{task.name: task for task in tasks_of(runner, scope.having(segment), settings)} for segment in segments]
    task = _task(tasks, comparison)
    task = Task(task.name, task.count, comparable(runner, scope, segments, task.name, task.metrics))
    both = [scope.having(segment, task.only) for segment in segments]
    answers = [runner.fetch(each, statistics_of(task.metrics)) for each in both]
    answers = [found | fetch_cooccurrences(runner, each, found) for found, each in zip(answers, both, strict=True)]
    counts = [found[task.name].count for found in tasks]
    deciding = _deciding(task, comparison.metric)
    rows = _rows(task, answers)
    own = next((row for row in rows if row["name"] == deciding.name), None)
    if own is None or "difference" not in own:
        raise BadQueryError(f"--metric: expected one that can be tested with these documents, found {deciding.name!r}")
    pairs = _pairs(runner, both, deciding, answers, comparison)
    return {
        "target": comparison.target,
        "indices": scope.indices,
        "by": field.path,
        "scorer": task.name,
        "a": {"name": comparison.a, "documents": counts[0]},
        "b": {"name": comparison.b, "documents": counts[1]},
        "metrics": rows,
        **({"paired": pairs} if pairs else {}),
        "verdict": verdict((comparison.a, comparison.b), deciding, own, pairs, variance_of(deciding, *answers)),
    }


def _groups(runner: QueryRunner, scope: Scope, comparison: Comparison) -> tuple[Field, list[Query]]:
    """Return the field that has both names, and the queries of the two groups."""
    if comparison.a == comparison.b:
        raise BadQueryError(f"expected two different names, found {comparison.a!r} twice")
    fields_with: dict[str, list[str]] = {comparison.a: [], comparison.b: []}
    for name in (comparison.by,) if comparison.by else _FIELDS:
        try:
            field = find_field(runner, scope, name)
        except BadQueryError:
            if comparison.by:
                raise
            continue
        segments = [value_segment(field, _value(field, text), 0).only for text in fields_with]
        there = [bool(runner.count(scope, segment)) for segment in segments]
        if all(there):
            return field, segments
        for text, is_there in zip(fields_with, there, strict=True):
            fields_with[text] += [name] if is_there else []
    raise BadQueryError(_no_common_field(fields_with, comparison.by))


def _no_common_field(fields_with: Mapping[str, Sequence[str]], by: str) -> str:
    """Return the message that no field has both names; ``fields_with`` has the fields of each name."""
    missing = [text for text, fields in fields_with.items() if not fields]
    if not missing:
        found = " and ".join(f"a {' and '.join(fields)} ({text!r})" for text, fields in fields_with.items())
        return f"expected two names of one kind, such as two models, found {found}"
    where = f"--by {by}" if by else f"a {', '.join(_FIELDS[:-1])} or {_FIELDS[-1]}"
    return f"no prediction has {' or '.join(map(repr, missing))} as {where}"


def _value(field: Field, text: str) -> Any:
    if not field.is_number:
        return text
    try:
        return float(text)
    except ValueError:
        raise BadQueryError(f"--by {field.name}: expected numbers, found {text!r}") from None


def _task(tasks: Sequence[dict[str, Task]], comparison: Comparison) -> Task:
    shared = [name for name in tasks[0] if name in tasks[1]]
    if not shared:
        found = [f"{label_of(name)}: {', '.join(each) or 'nothing scored'}" for name, each in
                 zip((comparison.a, comparison.b), tasks, strict=True)]  # fmt: skip
        raise BadQueryError(f"the two have no scorer in common ({'; '.join(found)})")
    known = max(shared, key=lambda name: min(each[name].count for each in tasks))
    # A metric that only some documents have, such as the reward, may be declared by one side only.
    metrics = {metric.name: metric for each in tasks for metric in each[known].metrics}
    return Task(known, tasks[0][known].count, tuple(metrics.values()))


def _deciding(task: Task, name: str) -> Metric:
    named = {metric.name: metric for metric in task.metrics if not metric.per_class}
    default = _TESTED.get(task.name) or next((metric.name for metric in task.shown), "")
    found = named.get(name or default)
    if found is None:
        raise BadQueryError(f"--metric: expected one of {', '.join(named)}, found {name or default!r}")
    return found


def _rows(task: Task, answers: Sequence[Answers]) -> list[Report]:
    """Return each metric of both groups, with the difference where it can be tested."""
    found = [{each.name: each for each in estimates(task.metrics, group)} for group in answers]
    rows = []
    for metric in task.metrics:
        if all(metric.name in group for group in found):
            row: Report = {"name": metric.name, "higher_is_better": metric.higher_is_better}
            row.update({side: _side(group[metric.name]) for side, group in zip("ab", found, strict=True)})
            change = difference(metric, *answers)
            rows.append({**row, **(difference_as_json(change) if change else {})})
    return rows


def _side(found: Any) -> Report:
    kept = as_json(found)
    return {name: kept[name] for name in ("value", "low", "high", "n") if kept.get(name) is not None}


def _pairs(
    runner: QueryRunner, groups: Sequence[Scope], metric: Metric, answers: Sequence[Answers], comparison: Comparison
) -> Report | None:
    """Test the deciding metric on pairs, where it is a mean over documents and pairs exist."""
    field = mean_field(metric)
    is_share = proportions(metric, *answers) is not None
    is_asked = comparison.pair in ("request", "row")
    if field is None or not (is_share or plain_means(metric, *answers)):
        if is_asked:
            raise BadQueryError(f"--pair: {metric.name} is not a mean over documents, so it can't be tested on pairs")
        return None
    found = find_pairs(runner, groups[0], groups[1], field, comparison.pair)
    if found is None and is_asked:
        raise BadQueryError(
            f"--pair: no two documents of {comparison.a!r} and {comparison.b!r} have the same {comparison.pair}"
        )
    return pair_test(found, is_share=is_share) if found else None
