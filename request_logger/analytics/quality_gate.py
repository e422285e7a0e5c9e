"""The quality gate: checks conditions on the metrics of stored pairs, such as "accuracy at least 0.9"."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from request_logger.analytics import rollups
from request_logger.analytics.consistency import Judgement, judge
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.estimates import value_of
from request_logger.analytics.evaluations import named_metric
from request_logger.analytics.maturity import UnknownMaturityError, find_maturity, only_mature
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Scope
from request_logger.analytics.selection import Selection, exists
from request_logger.scoring.registry import ScorerError, build, parse, registered
from request_logger.settings import Settings
from request_logger.store.ports import EngineReader

_SCORED = {"bool": {"must_not": [exists("metrics.unscorable")]}}
_CONDITION = re.compile(r"(?P<metric>[\w.-]+)(?:\[(?P<label>.+)\])?=(?P<limit>[^=\]]+)")


# What a verdict on evaluations has in place of a scorer.
EVALUATIONS = "evaluations"


class QualityError(Exception):
    """A condition can't be checked; the text is one line that says why."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A metric (of one class if ``label`` is given) must be at least ``limit``, or at most with ``is_maximum``."""

    metric: str
    label: str
    limit: float
    is_maximum: bool

    @classmethod
    def of(cls, text: str, *, is_maximum: bool) -> Condition:
        """Parse ``accuracy=0.9`` or ``recall[virginica]=0.8``. Raises ValueError."""
        found = _CONDITION.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"expected metric=number or metric[class]=number, found {text!r}")
        try:
            limit = float(found["limit"])
        except ValueError:
            raise ValueError(f"expected a number after =, found {found['limit']!r}") from None
        if math.isnan(limit):
            raise ValueError(f"expected a number after =, found {found['limit']!r}")
        return cls(found["metric"], found["label"] or "", limit, is_maximum)

    @property
    def name(self) -> str:
        """The metric with its class, as ``recall[virginica]``."""
        return f"{self.metric}[{self.label}]" if self.label else self.metric

    @property
    def is_of_evaluations(self) -> bool:
        """Whether it is about evaluations, which need no scored pairs: ``evaluations.helpful=0.8``."""
        return self.metric.startswith("evaluations.")

    def holds(self, value: float) -> bool:
        """Return whether a value fulfils the condition."""
        return value <= self.limit if self.is_maximum else value >= self.limit


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a condition for one scorer's pairs; ``holds`` is None for too few pairs or no value."""

    condition: Condition
    scorer: str
    pairs: int
    value: float | None
    holds: bool | None


def check(
    engine: EngineReader,
    settings: Settings,
    selection: Selection,
    conditions: Sequence[Condition],
    *,
    minimum: int,
    scorer: str = "",
    mature: bool = False,
) -> tuple[list[Verdict], list[dict[str, str]]]:
    """Check each condition for each scorer that has its metric.

    ``scorer`` restricts it to the pairs of one scorer, ``mature`` to predictions that are old enough for their labels.
    Returns the verdicts (empty without any pairs) and the indices that were left out, each with the reason. Raises
    QualityError where no scorer has the metric, UnknownMaturityError where it is unknown which predictions are mature,
    ScorerError for an unknown scorer, StoreUnavailableError where the search engine does not answer.
    """
    runner = QueryRunner(engine)
    scope = Scope(selection.indices(settings), tuple(selection.filters()))
    # Older predictions than the selected ones show how long labels take.
    whole = Scope(scope.indices, tuple(replace(selection, since="", until="").filters()))

    def verdicts_of() -> list[Verdict]:
        chosen = only_mature(scope, find_maturity(runner, whole)) if mature else scope
        return _verdicts(_Reader(runner, chosen.having(_SCORED)), chosen, conditions, minimum, scorer)

    try:
        verdicts = runner.settled(verdicts_of, scope.indices)
    except UnknownMaturityError:
        raise
    except BadQueryError as error:
        raise QualityError(str(error)) from None
    return verdicts, runner.left_out.as_json()


def _verdicts(
    reader: _Reader, scope: Scope, conditions: Sequence[Condition], minimum: int, scorer: str
) -> list[Verdict]:
    only = build(*parse(scorer)) if scorer else None
    found = reader.scorers()
    if only is not None:
        found = {name: pairs for name, pairs in found.items() if name == only.name}
    scorers: dict[str, Any] = {}
    for name in found or ([] if only is not None else registered()):
        scorers[name] = only if only is not None else _known(name)
    if only is not None:
        scorers[only.name] = only
    judgement = judge(reader.runner, scope)
    verdicts = []
    for condition in conditions:
        assessed = reader.evaluation(condition, minimum)
        if assessed is not None:
            verdicts.append(assessed)
            continue
        having_it = [name for name, each in scorers.items() if _has(each, condition)]
        if not having_it:
            metrics = sorted({metric.name for each in scorers.values() for metric in getattr(each, "metrics", ())})
            kinds = ", ".join(sorted(scorers))
            raise QualityError(f"no metric {condition.name} of the scorers {kinds}: there are {', '.join(metrics)}")
        for name in having_it:
            pairs = found.get(name, 0)
            enough = pairs >= max(minimum, 1)
            _check_consistent(judgement, scorers[name], name, condition)
            value = reader.value(scorers[name], name, condition) if enough else None
            verdicts.append(Verdict(condition, name, pairs, value, None if value is None else condition.holds(value)))
    return [verdict for verdict in verdicts if found or verdict.condition.is_of_evaluations]


def _check_consistent(judgement: Judgement, scorer: rollups.HasMetrics, name: str, condition: Condition) -> None:
    """Raise QualityError where the documents were not scored alike, so that the metric would be of a part of them."""
    if name in judgement.reasons:
        raise QualityError(judgement.reasons[name])
    if condition.label or condition.metric in {metric.name for metric in judgement.kept(name, scorer.metrics)}:
        return
    raise QualityError(f"no figure {condition.name}: {' '.join(judgement.notes)}")


def _known(name: str) -> Any:
    """Return the scorer of a stored name; None for a user's scorer, which `--scorer` names by its path."""
    try:
        return build(name, {})
    except ScorerError:
        return None


def _has(scorer: Any, condition: Condition) -> bool:
    metrics = getattr(scorer, "metrics", ())
    if condition.label:
        return any(metric.per_class for metric in metrics)
    return any(metric.name == condition.metric and not metric.per_class for metric in metrics)


@dataclass(frozen=True, slots=True)
class _Reader:
    runner: QueryRunner
    scope: Scope

    def scorers(self) -> dict[str, int]:
        """Return how many pairs each scorer has scored."""
        pages = self.runner.pages(self.scope, {"scorer": {"terms": {"field": "metrics.scorer"}}})
        return {str(bucket["key"]["scorer"]): int(bucket["doc_count"]) for bucket in pages}

    def evaluation(self, condition: Condition, minimum: int) -> Verdict | None:
        """Return the verdict on a condition on evaluations, None for any other condition."""
        if not condition.is_of_evaluations:
            return None
        # A truth that can't be scored says nothing about them.
        scope = replace(self.scope, filters=tuple(each for each in self.scope.filters if each is not _SCORED))
        named = named_metric(self.runner, scope, condition.name)
        if named is None:
            return None
        task, name = named
        if task.count < max(minimum, 1):
            return Verdict(condition, EVALUATIONS, task.count, None, None)
        metric = next(each for each in task.metrics if each.name == name)
        needs = self.runner.fetch(scope, metric.needs.values(), task.only)
        value = value_of(metric, needs)
        return Verdict(condition, EVALUATIONS, task.count, value, None if value is None else condition.holds(value))

    def value(self, scorer: rollups.HasMetrics, name: str, condition: Condition) -> float | None:
        """Return a metric's value, None where it is undefined."""
        only: Collection[str] = [condition.metric]
        if condition.label:
            only = [metric.name for metric in scorer.metrics if metric.per_class]
        scored = {"term": {"metrics.scorer": name}}
        needs = self.runner.fetch(self.scope, rollups.needs_of(scorer, only), scored)
        if not condition.label:
            value: Any = rollups.from_needs(scorer, needs, only).get(condition.metric)
        else:
            value = _class_value(rollups.table_by_class(scorer, needs), condition)
        if isinstance(value, dict):
            raise QualityError(f"{condition.name}: expected a metric that is one number, found a table")
        return None if value is None else float(value)


def _class_value(table: Mapping[str, Mapping[str, float]], condition: Condition) -> float | None:
    columns = sorted({name for row in table.values() for name in row})
    if columns and condition.metric not in columns:
        raise QualityError(f"no figure {condition.metric} by class: there are {', '.join(columns)}")
    # A class without pairs has no value; a misspelled class can't be told from it.
    return table.get(condition.label, {}).get(condition.metric)
