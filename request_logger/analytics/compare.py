"""Compares two groups of predictions: two predictors, two models, or any two values of a field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from typing import Any

from request_logger.analytics.buckets import label_of, value_segment
from request_logger.analytics.class_tables import class_table
from request_logger.analytics.conditions import where
from request_logger.analytics.consistency import comparable
from request_logger.analytics.contrasts import Contrast, Form, NoTest
from request_logger.analytics.corrections import holm
from request_logger.analytics.differences import NO_QUESTION, contrasts, is_mean, proportions, same_questions
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.estimate_json import as_json
from request_logger.analytics.estimates import estimates, mean_field, statistics_of
from request_logger.analytics.evaluations import named_metric
from request_logger.analytics.fields import find_field
from request_logger.analytics.fold_contrast import fetch_folds, folds_contrast
from request_logger.analytics.label_averages import fetch_cooccurrences
from request_logger.analytics.maturity import find_maturity, only_mature
from request_logger.analytics.near_deployments import near_deployments
from request_logger.analytics.pair_contrast import discordant, pairs_contrast
from request_logger.analytics.paired_samples import Pairs, find_pairs, share_requests
from request_logger.analytics.queries import Answers, QueryRunner
from request_logger.analytics.report import Report
from request_logger.analytics.scope import Query, Scope, deployment, find_scope
from request_logger.analytics.selection import IN_BATCHES, having
from request_logger.analytics.surface import Surface
from request_logger.analytics.tasks import Task, tasks_of
from request_logger.analytics.traffic_check import arm, parse_split, traffic_check
from request_logger.analytics.verdict import contrast_as_json, verdict
from request_logger.settings import Settings
from request_logger.store.ports import EngineReader
from scorers.base import Metric

# Fields tried for both names where ``by`` is empty, in this order.
_FIELDS = ("predictor", "model", "deployment")
# Values of a field that a misspelled one is compared with.
_MOST_VALUES = 1000
# The deciding metric where the task's first shown metric has no test.
_TESTED = {"regression": "mse", "multilabel": "subset_accuracy"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The options of a comparison: documents with ``a`` in the field ``by`` against those with ``b``.

    ``metric`` decides (empty: the task's default). ``pair`` is how pairs are found, see `find_pairs`. ``form`` is how
    often the comparison is looked at. ``detect`` is a difference to calculate sample sizes for, ``split`` the traffic's
    split, such as ``90:10``, ``where`` are conditions (`conditions.where`). ``mature``: only predictions that are old
    enough for their labels. ``surface``: where the notes are read. The other fields are those of `find_scope`.
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
    form: Form = Form.SEQUENTIAL
    detect: float | None = None
    split: str = ""
    mature: bool = False
    where: tuple[str, ...] = ()
    surface: Surface = Surface.TERMINAL


def compare(engine: EngineReader, settings: Settings, comparison: Comparison, *, only_own: bool = False) -> Report:
    """Return the comparison of two groups as JSON. ``only_own``: of the logger's own indices only, see `find_scope`.

    It has ``metrics`` (each with both values, difference, interval, p-value, sample sizes), ``paired`` where pairs were
    found, the ``verdict`` by the deciding metric, the tables ``per_class``, and ``warnings`` where the
    two groups can't be compared fairly. Raises BadQueryError where a group isn't found, StoreUnavailableError.
    """
    runner = QueryRunner(engine)
    chosen = comparison.target, comparison.start, comparison.end, comparison.by_date
    scope = find_scope(engine, settings, *chosen, only_own=only_own)
    found = runner.settled(lambda: _compare(runner, settings, scope, comparison), scope.indices)
    left_out = runner.left_out.as_json()
    return {**found, **({"left_out": left_out} if left_out else {})}


def _compare(runner: QueryRunner, settings: Settings, scope: Scope, comparison: Comparison) -> Report:
    split = parse_split(comparison.split)
    scope = where(runner, scope, comparison.where)
    by_field, segments = _groups(runner, settings, scope, comparison)
    if comparison.mature:
        # By the later labels of the two: else one would have more of its labels than the other.
        scope = only_mature(scope, *(find_maturity(runner, scope.having(segment)) for segment in segments))
    assessed = named_metric(runner, scope, comparison.metric)
    if assessed is not None:
        task: Task = assessed[0]
        found_by = f"evaluations.{task.name}"
        counts = [runner.count(scope.having(segment, task.only)) for segment in segments]
        if not all(counts):
            raise BadQueryError(f"--metric: expected an evaluation that both have, found {comparison.metric!r}")
    else:
        tasks = [{each.name: each for each in tasks_of(runner, scope.having(one), settings)} for one in segments]
        task = _task(tasks, comparison)
        task = replace(task, metrics=comparable(runner, scope, segments, task.name, task.metrics))
        found_by = task.name
        counts = [found[task.name].count for found in tasks]
    both = [scope.having(segment, task.only) for segment in segments]
    answers = [runner.fetch(each, statistics_of(task.metrics)) for each in both]
    answers = [found | fetch_cooccurrences(runner, each, found) for found, each in zip(answers, both, strict=True)]
    deciding = _deciding(task, assessed[1] if assessed is not None else comparison.metric)
    found = contrasts(task.metrics, *answers)
    pairs = _pairs(runner, both, deciding, answers, comparison)
    names = comparison.a, comparison.b
    paired = pairs_contrast(pairs, is_share=_is_share(deciding, answers)) if pairs else None
    by, used = _used(found.get(deciding.name), pairs, paired, counts)
    together = _together(runner, both, settings)
    is_shared = cache(lambda: share_requests(runner, *both))
    folded = None
    # Pairs allow for the rows of a batch, but not for a FOLD_KEY.
    if by == "groups" or settings.fold_key:
        folded = _folds(runner, both, deciding, answers, comparison, None if together else is_shared)
        by, used = ("folds", folded) if folded is not None else (by, used)
    if used is None:
        raise BadQueryError(f"--metric: expected one that can be tested with these documents, found {deciding.name!r}")
    arms = [arm(runner, scope.having(segment), name) for segment, name in zip(segments, names, strict=True)]
    checks: Report = {}
    warnings: list[str] = []
    # By the date of the feedback, predictions without feedback are in no group.
    if comparison.by_date == "prediction":
        is_shadow = pairs is not None and pairs.way == "request"
        is_shadow = is_shadow or (folded is not None and is_shared())
        checks, warnings = traffic_check(arms[0], arms[1], split, is_shadow=is_shadow, surface=comparison.surface)
    return {
        "target": comparison.target,
        "indices": scope.indices,
        **({"where": list(comparison.where)} if comparison.where else {}),
        "by": by_field,
        "scorer": found_by,
        "form": comparison.form.value,
        **{
            side: {"name": each.name, "documents": count, "predictions": each.predictions}
            for side, each, count in zip("ab", arms, counts, strict=True)
        },
        **({"traffic": checks} if checks else {}),
        "metrics": _rows(task, answers, found, deciding, comparison.form),
        **({"paired": _pairs_as_json(pairs, paired, deciding, answers, comparison.form)} if pairs and paired else {}),
        **({"folds": contrast_as_json(folded, comparison.form, deciding.bounds)} if folded is not None else {}),
        **({"together": True} if together else {}),
        **_classes(task, answers, together=together),
        "verdict": verdict(names, deciding, used, comparison.form, by=by, delta=comparison.detect),
        **({"warnings": warnings} if warnings else {}),
    }


def _used(
    own: Contrast | NoTest | None, pairs: Pairs | None, paired: Contrast | NoTest | None, counts: Sequence[int]
) -> tuple[str, Contrast | NoTest | None]:
    """Return what decides, and by what: pairs, if they include at least half of the smaller group."""
    have = min(own.sizes) if isinstance(own, Contrast) else min(counts)
    if pairs is not None and paired is not None and 2 * len(pairs.a) >= have:
        return "pairs", paired
    return "groups", own


def _groups(runner: QueryRunner, settings: Settings, scope: Scope, comparison: Comparison) -> tuple[str, list[Query]]:
    """Return the path of the field that has both names, or `target`, and the queries of the two groups."""
    if comparison.a == comparison.b:
        raise BadQueryError(f"expected two different names, found {comparison.a!r} twice")
    if not comparison.by and "/" in comparison.a and "/" in comparison.b:
        targets = [having(*deployment(name)) for name in (comparison.a, comparison.b)]
        missing = [
            name
            for name, only in zip((comparison.a, comparison.b), targets, strict=True)
            if not runner.count(scope, only)
        ]
        if not missing:
            return "target", targets
        raise BadQueryError(
            f"no prediction is of {' or '.join(map(repr, missing))}{_similar(runner, settings, missing)}"
        )
    fields_with: dict[str, list[str]] = {comparison.a: [], comparison.b: []}
    for name in (comparison.by,) if comparison.by else _FIELDS:
        try:
            field = find_field(runner, scope, name)
            segments = [value_segment(field, field.value_of(text, option="--by"), 0).only for text in fields_with]
        except BadQueryError:
            if comparison.by:
                raise
            continue
        there = [bool(runner.count(scope, segment)) for segment in segments]
        if all(there):
            return field.path, segments
        for text, is_there in zip(fields_with, there, strict=True):
            fields_with[text] += [name] if is_there else []
    missing = [text for text, fields in fields_with.items() if not fields]
    near = _near_values(runner, scope, (comparison.by,) if comparison.by else _FIELDS, missing)
    raise BadQueryError(_no_common_field(fields_with, comparison.by) + near)


def _near_values(runner: QueryRunner, scope: Scope, fields: Sequence[str], names: Sequence[str]) -> str:
    """Return the values of some fields that resemble names which none of them has, as the end of an error."""
    values: dict[str, None] = {}
    for name in fields:
        with suppress(BadQueryError):
            field = find_field(runner, scope, name)
            terms = {"values": {"terms": {"field": field.path, "size": _MOST_VALUES}}}
            buckets = runner.aggregate(scope, terms).get("values", {}).get("buckets", [])
            values.update(dict.fromkeys(str(bucket["key"]) for bucket in buckets))
    near = dict.fromkeys(each for name in names for each in get_close_matches(name, values))
    return f"; similar: {', '.join(near)}" if near else ""


def _similar(runner: QueryRunner, settings: Settings, names: Sequence[str]) -> str:
    found = dict.fromkeys(near for name in names for near in near_deployments(runner, settings, name))
    return f"; similar: {', '.join(found)}" if found else ""


def _no_common_field(fields_with: Mapping[str, Sequence[str]], by: str) -> str:
    """Return the message that no field has both names; ``fields_with`` has the fields of each name."""
    missing = [text for text, fields in fields_with.items() if not fields]
    if not missing:
        found = " and ".join(f"a {' and '.join(fields)} ({text!r})" for text, fields in fields_with.items())
        return f"expected two names of one kind, such as two models, found {found}"
    where = by or f"a {', '.join(_FIELDS[:-1])} or {_FIELDS[-1]}"
    return f"no prediction has {' or '.join(map(repr, missing))} as {where}"


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


def _rows(
    task: Task, answers: Sequence[Answers], tests: Mapping[str, Contrast | NoTest], deciding: Metric, form: Form
) -> list[Report]:
    """Return each metric of both groups, with the difference where it can be tested."""
    found = [{each.name: each for each in estimates(task.metrics, group)} for group in answers]
    names = [metric.name for metric in task.metrics if all(metric.name in group for group in found)]
    same = same_questions(names, deciding.name)
    rows = []
    for metric in task.metrics:
        if metric.name not in names:
            continue
        row: Report = {"name": metric.name, "higher_is_better": metric.higher_is_better}
        row.update({side: _side(group[metric.name]) for side, group in zip("ab", found, strict=True)})
        if metric.name in same:
            row["same_question"] = same[metric.name]
        elif metric.name in tests:
            row.update(contrast_as_json(tests[metric.name], form, metric.bounds))
        rows.append(row)
    others = [row for row in rows if "p_value" in row and row["name"] != deciding.name]
    for row, p_value in zip(others, holm([row["p_value"] for row in others]), strict=True):
        row["p_adjusted"] = p_value
    return rows


def _classes(task: Task, answers: Sequence[Answers], *, together: bool) -> Report:
    """Return the tables by class of both groups; if documents belong together, their intervals would be too narrow."""
    tables = [class_table(task.metrics, group) for group in answers]
    if together:
        tables = [{label: {**row, "intervals": {}} for label, row in table.items()} for table in tables]
    return {"per_class": dict(zip("ab", tables, strict=True))} if all(tables) else {}


def _side(found: Any) -> Report:
    kept = as_json(found)
    return {name: kept[name] for name in ("value", "low", "high", "n") if kept.get(name) is not None}


def _is_share(metric: Metric, answers: Sequence[Answers]) -> bool:
    return proportions(metric, *answers) is not None


def _pairs(
    runner: QueryRunner, groups: Sequence[Scope], metric: Metric, answers: Sequence[Answers], comparison: Comparison
) -> Pairs | None:
    """Return the pairs to test the deciding metric on, where it is a mean over documents and pairs exist."""
    field = mean_field(metric)
    is_asked = comparison.pair in ("request", "row")
    if field is None or not is_mean(metric, *answers):
        if comparison.pair == "row":
            raise BadQueryError(f"--pair: {metric.name} is not a mean over documents, so rows can't be paired for it")
        return None
    found = find_pairs(runner, groups[0], groups[1], field, comparison.pair)
    if found is None and is_asked:
        raise BadQueryError(
            f"--pair: no two documents of {comparison.a!r} and {comparison.b!r} have the same {comparison.pair}"
        )
    return found


def _together(runner: QueryRunner, groups: Sequence[Scope], settings: Settings) -> bool:
    """Return whether documents belong together: as rows of a batch, or by the field that FOLD_KEY names."""
    return bool(settings.fold_key) or any(runner.count(each, IN_BATCHES) for each in groups)


def _folds(
    runner: QueryRunner,
    groups: Sequence[Scope],
    metric: Metric,
    answers: Sequence[Answers],
    comparison: Comparison,
    is_shared: Callable[[], bool] | None,
) -> Contrast | NoTest | None:
    """Return the test over folds: where documents belong together, and of shadows in a metric that isn't a mean.

    ``is_shared`` says whether the groups share requests; None where documents belong together.
    """
    if metric.name in NO_QUESTION or comparison.pair == "row":
        return None
    if is_shared is not None:
        if comparison.pair == "none" or is_mean(metric, *answers):
            return None
        if not is_shared():
            if comparison.pair == "request":
                raise BadQueryError(f"--pair: {comparison.a!r} and {comparison.b!r} have no request in common")
            return None
    sums = [fetch_folds(runner, group, statistics_of([metric])) for group in groups]
    return folds_contrast(metric, sums[0], sums[1], answers)


def _pairs_as_json(
    pairs: Pairs, found: Contrast | NoTest, metric: Metric, answers: Sequence[Answers], form: Form
) -> Report:
    known: Report = {
        "pairs": len(pairs.a),
        "way": pairs.way,
        "cut": pairs.cut,
        **contrast_as_json(found, form, metric.bounds),
    }
    if isinstance(found, Contrast):
        known["variance"] = found.variances[0]
    if _is_share(metric, answers):
        known["only_a"], known["only_b"] = discordant(pairs)
    return known
