"""The fairness of a deployment's predictions between the values of a field, as one JSON object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from request_logger.analytics.buckets import MISSING, Segment
from request_logger.analytics.chosen_documents import figures_over
from request_logger.analytics.consistency import judge
from request_logger.analytics.corrections import benjamini_hochberg
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.fairness.rates import Outcomes, Rate, difference
from request_logger.analytics.fields import Field, find_field
from request_logger.analytics.jackknife import Folds, design_effect, fetch_folds
from request_logger.analytics.queries import Answers, QueryRunner
from request_logger.analytics.rollups import Statistic
from request_logger.analytics.scope import Scope
from request_logger.analytics.selection import IN_BATCHES
from request_logger.analytics.shares import INDEPENDENT, Dependence, share_interval
from request_logger.analytics.splits import Split, split_by
from request_logger.analytics.tasks import Task, tasks_of
from request_logger.settings import Settings
from request_logger.store.ports import EngineReader
from scorers.base import Count, Having, Terms

Report = dict[str, Any]
_CELLS = ("true_positive", "false_positive", "false_negative")
# Below it a rate is shown with its interval, but it doesn't decide the greatest difference.
_LEAST = 30


@dataclass(frozen=True, slots=True)
class Options:
    """The options; see `find_scope` for ``target``, ``start``, ``end`` and ``by_date``.

    ``by``: the field. ``positive``: the class that a prediction selects; empty: the positive class of two.
    ``reference``: the value that the others are compared with; empty: the one with the most documents.
    ``where``: conditions, see `conditions.where`.
    """

    by: str
    target: str = ""
    start: str | None = None
    end: str | None = None
    by_date: str = "prediction"
    positive: str = ""
    reference: str = ""
    where: tuple[str, ...] = ()


def make_fairness(engine: EngineReader, settings: Settings, options: Options) -> Report:
    """Return the fairness of each classification task. Raises BadQueryError, StoreUnavailableError."""
    return figures_over(
        engine, settings, options, lambda runner, scope: _report(runner, settings, scope, options), "Fairness is"
    )


def _report(runner: QueryRunner, settings: Settings, scope: Scope, options: Options) -> Report:
    field = find_field(runner, scope, options.by)
    reasons = judge(runner, scope).reasons
    found = []
    for task in tasks_of(runner, scope, settings):
        if not _has_cells(task):
            continue
        made = {"reason": reasons[task.name]} if task.name in reasons else None
        made = made or _task(runner, settings, scope, task, field, options)
        found.append({"scorer": task.name, "documents": task.count, **made})
    return {
        "field": field.path,
        "name": field.name,
        "tasks": found,
    }


def fairness_of_task(runner: QueryRunner, settings: Settings, scope: Scope, task: Task, field: Field) -> Report:
    """Return the fairness of one binary task of a report. Raises what :class:`QueryRunner` raises."""
    return _task(runner, settings, scope, task, field, Options(field.name))


def _has_cells(task: Task) -> bool:
    needs = {need for metric in task.metrics for need in metric.needs.values()}
    return bool(needs & {Count("true_positive"), Terms("true_positive")})


def _task(runner: QueryRunner, settings: Settings, scope: Scope, task: Task, field: Field, options: Options) -> Report:
    classes = Terms("true_positive"), Terms("false_negative")
    if not options.positive and task.name != "binary":
        known = sorted({label for table in runner.fetch(scope, classes, task.only).values() for label in table})
        return {"reason": f"choose the class that a prediction selects by --class: {', '.join(known[:20])}"}
    statistics = _statistics(options.positive)
    answers = runner.fetch(scope, statistics, task.only)
    whole = _outcomes(answers, statistics)
    if options.positive and not whole.tp + whole.fp + whole.fn:
        raise BadQueryError(f"--class: expected a class of these documents, found {options.positive!r}")
    split = split_by(runner, scope, statistics, field, task.only)
    groups = {each.label: _outcomes(each.answers, statistics) for each in split.segments if each.count}
    reference = _reference(split, options.reference)
    together: dict[Rate, Dependence] = dict.fromkeys(Rate, INDEPENDENT)
    if settings.fold_key or runner.count(scope, task.only, IN_BATCHES):
        folds = fetch_folds(runner, scope, statistics, task.only, task.count, are_together=True)
        without = [_outcomes(each, statistics) for each in folds.without]
        together = dict.fromkeys(Rate, folds.cautious)
        if folds.problem is None:
            together = {rate: _dependence(whole, without, rate, folds) for rate in Rate}
    found = _groups(groups, reference, together)
    return {
        "class": options.positive or None,
        "reference": reference,
        "ranges": split.ranges,
        "groups": found,
        "greatest": dict(_greatest(groups)),
        "values_left_out": split.values_left_out,
        "documents_left_out": split.documents_left_out,
    }


def _statistics(positive: str) -> list[Statistic]:
    if positive:
        return [*(Having(cell, positive) for cell in _CELLS), Count("correct")]
    return [*(Count(cell) for cell in _CELLS), Count("correct")]


def _outcomes(answers: Answers, statistics: Sequence[Statistic]) -> Outcomes:
    tp, fp, fn, n = (int(answers[statistic]) for statistic in statistics)
    return Outcomes(tp, fp, fn, n - tp - fp - fn)


def _reference(split: Split, name: str) -> str:
    known: list[Segment] = [each for each in split.segments if each.count]
    if name:
        if all(each.label != name for each in known):
            raise BadQueryError(f"--reference: expected a value of the field, found {name!r}")
        return name
    named = [each for each in known if each.label != MISSING] or known
    return max(named, key=lambda each: each.count).label if named else ""


def _dependence(whole: Outcomes, without: Sequence[Outcomes], rate: Rate, folds: Folds) -> Dependence:
    """Return how much documents belong together in a rate: by the variance between folds."""
    interval = share_interval(*whole.share(rate))
    if interval is None:
        return INDEPENDENT
    shares = [each.share(rate) for each in without]
    effect = design_effect([hits / n if n else None for hits, n in shares], interval, folds)
    return Dependence(effect, folds.freedom)


def _groups(groups: Mapping[str, Outcomes], reference: str, together: Mapping[Rate, Dependence]) -> list[Report]:
    """Return each group with its rates, and their differences to the reference; p-values are corrected for all."""
    found: list[Report] = []
    tests: list[Report] = []
    for label, outcomes in groups.items():
        rates: Report = {}
        for rate in Rate:
            hits, n = outcomes.share(rate)
            interval = share_interval(hits, n, together[rate])
            if interval is None:
                continue
            rates[rate] = {"value": hits / n, "low": interval.low, "high": interval.high, "n": n}
            apart = difference((hits, n), groups[reference].share(rate), together[rate])
            if label != reference and apart is not None:
                test = {"value": apart.value, "low": apart.low, "high": apart.high, "p": apart.p_value}
                rates[rate]["difference"] = test
                tests.append(test)
        found.append({"value": label, "n": outcomes.n, "rates": rates})
    for test, adjusted in zip(tests, benjamini_hochberg([test["p"] for test in tests]), strict=True):
        test["p_adjusted"] = adjusted
    return found


def _greatest(groups: Mapping[str, Outcomes]) -> Iterator[tuple[str, Report]]:
    """Yield by rate the greatest difference and the least ratio between two groups of at least _LEAST documents."""
    for rate in Rate:
        shares = {label: each.share(rate) for label, each in groups.items()}
        known = {label: hits / n for label, (hits, n) in shares.items() if n >= _LEAST}
        if len(known) < 2:
            continue
        lowest, highest = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        ratio = {"ratio": known[lowest] / known[highest]} if known[highest] else {}
        yield rate, {"lowest": lowest, "highest": highest, "difference": known[highest] - known[lowest], **ratio}
