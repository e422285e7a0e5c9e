"""Which of two groups of predictions is better: two predictors, two models, any two values of a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from request_logger.analytics.buckets import label_of, value_part
from request_logger.analytics.differences import difference, plain_means, proportions, variance_of
from request_logger.analytics.errors import BadQuestionError
from request_logger.analytics.estimates import estimates, mean_field, questions_of
from request_logger.analytics.fields import Field, find_field
from request_logger.analytics.label_averages import ask_together
from request_logger.analytics.paired_samples import find_pairs
from request_logger.analytics.queries import Answers, Asker
from request_logger.analytics.report import Report, as_json
from request_logger.analytics.scope import Query, Scope, find_scope
from request_logger.analytics.tasks import Task, tasks_of
from request_logger.analytics.verdict import difference_as_json, pair_test, verdict
from request_logger.settings import Settings
from request_logger.store.ports import EngineReader
from scorers.base import Metric

# Looked at for both names where no field is given, in this order.
_FIELDS = ("predictor", "model", "deployment")
# What a comparison goes by where the headline of a report has no test of its own.
_TESTED = {"regression": "mse", "multilabel": "subset_accuracy"}


@dataclass(frozen=True, slots=True)
class Question:
    """What is compared: documents with ``a`` in the field ``by`` to those with ``b``; see `find_scope` for the rest.

    ``metric``: what decides; empty: the task's own. ``pair``: how pairs are found, see `find_pairs`.
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


def compare(engine: EngineReader, settings: Settings, question: Question) -> Report:
    """Compare two groups. Raises BadQuestionError where one can't be found, StoreUnavailableError.

    The answer is JSON: ``metrics`` (each with both values, difference, interval, p-value, sample sizes), ``paired``
    where pairs were found, and the ``verdict`` by the metric that decides.
    """
    asker = Asker(engine)
    scope = find_scope(engine, settings, question.target, question.start, question.end, question.by_date)
    found = asker.settled(lambda: _compare(asker, settings, scope, question), scope.indices)
    left_out = asker.left_out.as_json()
    return {**found, **({"left_out": left_out} if left_out else {})}


def _compare(asker: Asker, settings: Settings, scope: Scope, question: Question) -> Report:
    field, parts = _groups(asker, scope, question)
    tasks = [{task.name: task for task in tasks_of(asker, scope.having(part), settings)} for part in parts]
    task = _task(tasks, question)
    both = [scope.having(part, task.only) for part in parts]
    answers = [asker.answers(each, questions_of(task.metrics)) for each in both]
    answers = [found | ask_together(asker, each, found) for found, each in zip(answers, both, strict=True)]
    counts = [found[task.name].count for found in tasks]
    deciding = _deciding(task, question.metric)
    rows = _rows(task, answers)
    own = next((row for row in rows if row["name"] == deciding.name), None)
    if own is None or "difference" not in own:
        raise BadQuestionError(
            f"--metric: expected one that can be tested with these documents, found {deciding.name!r}"
        )
    pairs = _pairs(asker, both, deciding, answers, question)
    return {
        "target": question.target,
        "indices": scope.indices,
        "by": field.path,
        "scorer": task.name,
        "a": {"name": question.a, "documents": counts[0]},
        "b": {"name": question.b, "documents": counts[1]},
        "metrics": rows,
        **({"paired": pairs} if pairs else {}),
        "verdict": verdict((question.a, question.b), deciding, own, pairs, variance_of(deciding, *answers)),
    }


def _groups(asker: Asker, scope: Scope, question: Question) -> tuple[Field, list[Query]]:
    """Find the field that has both names, and the queries of the two groups."""
    if question.a == question.b:
        raise BadQuestionError(f"expected two different names, found {question.a!r} twice")
    homes: dict[str, list[str]] = {question.a: [], question.b: []}
    for name in (question.by,) if question.by else _FIELDS:
        try:
            field = find_field(asker, scope, name)
        except BadQuestionError:
            if question.by:
                raise
            continue
        parts = [value_part(field, _value(field, text), 0).only for text in homes]
        there = [bool(asker.count(scope, part)) for part in parts]
        if all(there):
            return field, parts
        for text, is_there in zip(homes, there, strict=True):
            homes[text] += [name] if is_there else []
    raise BadQuestionError(_nowhere(homes, question.by))


def _nowhere(homes: Mapping[str, Sequence[str]], by: str) -> str:
    """Say why no field has both names; ``homes`` are the fields that have each of them."""
    missing = [text for text, fields in homes.items() if not fields]
    if not missing:
        found = " and ".join(f"a {' and '.join(fields)} ({text!r})" for text, fields in homes.items())
        return f"expected two names of one kind, such as two models, found {found}"
    where = f"--by {by}" if by else f"a {', '.join(_FIELDS[:-1])} or {_FIELDS[-1]}"
    return f"no prediction has {' or '.join(map(repr, missing))} as {where}"


def _value(field: Field, text: str) -> Any:
    if not field.is_number:
        return text
    try:
        return float(text)
    except ValueError:
        raise BadQuestionError(f"--by {field.name}: expected numbers, found {text!r}") from None


def _task(tasks: Sequence[dict[str, Task]], question: Question) -> Task:
    shared = [name for name in tasks[0] if name in tasks[1]]
    if not shared:
        found = [f"{label_of(name)}: {', '.join(each) or 'nothing scored'}" for name, each in
                 zip((question.a, question.b), tasks, strict=True)]  # fmt: skip
        raise BadQuestionError(f"the two have no scorer in common ({'; '.join(found)})")
    known = max(shared, key=lambda name: min(each[name].count for each in tasks))
    # A metric that only some documents have, such as the reward, is in both.
    metrics = {metric.name: metric for each in tasks for metric in each[known].metrics}
    return Task(known, tasks[0][known].count, tuple(metrics.values()))


def _deciding(task: Task, name: str) -> Metric:
    named = {metric.name: metric for metric in task.metrics if not metric.per_class}
    default = _TESTED.get(task.name) or next((metric.name for metric in task.shown), "")
    found = named.get(name or default)
    if found is None:
        raise BadQuestionError(f"--metric: expected one of {', '.join(named)}, found {name or default!r}")
    return found


def _rows(task: Task, answers: Sequence[Answers]) -> list[Report]:
    """Give each metric of both groups, with the difference where it can be tested."""
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
    asker: Asker, groups: Sequence[Scope], metric: Metric, answers: Sequence[Answers], question: Question
) -> Report | None:
    """Test the metric that decides on pairs, where it is a mean of documents and there are pairs."""
    field = mean_field(metric)
    is_share = proportions(metric, *answers) is not None
    is_asked = question.pair in ("request", "row")
    if field is None or not (is_share or plain_means(metric, *answers)):
        if is_asked:
            raise BadQuestionError(f"--pair: {metric.name} is no mean of documents, so pairs of them tell nothing")
        return None
    found = find_pairs(asker, groups[0], groups[1], field, question.pair)
    if found is None and is_asked:
        raise BadQuestionError(
            f"--pair: no two documents of {question.a!r} and {question.b!r} have the same {question.pair}"
        )
    return pair_test(found, is_share=is_share) if found else None
