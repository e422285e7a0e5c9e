"""The audit: figures over predictions that a hash chose, whatever their outcome, so that feedback can't choose them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from request_logger.analytics.estimate_json import as_json
from request_logger.analytics.estimates import estimates, needs_folds, statistics_of
from request_logger.analytics.feedback.audit_queries import AUDITED, UNDECIDED, WITH_TRUTH
from request_logger.analytics.feedback.cells import Cells
from request_logger.analytics.feedback.prediction_powered import prediction_powered
from request_logger.analytics.intervals import NoInterval
from request_logger.analytics.label_averages import fetch_cooccurrences
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import PREDICTION_DATE, Scope
from request_logger.analytics.selection import having
from request_logger.analytics.shares import INDEPENDENT, Dependence
from request_logger.analytics.tasks import Task

Json = dict[str, Any]
Together = Mapping[str, Dependence | NoInterval]

# Below it an interval of a share is wider than 0.3, and says nothing that bounds don't.
LEAST_AUDITED = 30
# With more of the audit unanswered, those without a truth may decide the figure.
_LEAST_ANSWERED = 0.9


@dataclass(frozen=True, slots=True)
class Audit:
    """The audited predictions of a scope: their number, those of them with a truth, and the scope that they are from.

    ``since``: the time of the last prediction that was stored without AUDIT_RATE, after which the scope begins. Of
    predictions before it only those with later feedback may be in the audit, which would choose them by their feedback.
    """

    scope: Scope
    selected: int
    with_truth: int
    since: str | None = None

    @property
    def lacking(self) -> int:
        """The number of audited predictions without a truth."""
        return self.selected - self.with_truth


def find_audit(runner: QueryRunner, scope: Scope) -> Audit | None:
    """Return the audit of a scope; None where no prediction is in one. Raises what :class:`QueryRunner` raises."""
    aggs = {
        "audited": {"filter": AUDITED},
        "undecided": {"filter": UNDECIDED, "aggs": {"last": {"max": {"field": PREDICTION_DATE}}}},
    }
    found = runner.aggregate(scope, aggs)
    if not found.get("audited", {}).get("doc_count"):
        return None
    last = found["undecided"]["last"]
    since = None
    if found["undecided"]["doc_count"] and last["value"] is not None:
        since = str(last["value_as_string"])
        scope = scope.having({"range": {PREDICTION_DATE: {"gt": since}}})
    wanted = {"selected": AUDITED, "known": having(AUDITED, WITH_TRUTH)}
    counts = runner.aggregate(scope, {name: {"filter": only} for name, only in wanted.items()})
    selected, known = (int(counts.get(name, {}).get("doc_count", 0)) for name in wanted)
    return Audit(scope, selected, known, since)


def audit_report(runner: QueryRunner, audit: Audit, tasks: Sequence[tuple[Task, Together]]) -> Json:
    """Return the audit as JSON: its size, and the shown metrics of each task.

    Raises what :class:`QueryRunner` raises.
    """
    found: Json = {
        "since": audit.since,
        "selected": audit.selected,
        "with_truth": audit.with_truth,
        "share": audit.with_truth / audit.selected if audit.selected else None,
    }
    if audit.with_truth < LEAST_AUDITED:
        found["reason"] = f"fewer than {LEAST_AUDITED} audited predictions have a truth"
    else:
        found["tasks"] = [
            {"scorer": task.name, "metrics": list(_metrics(runner, audit.scope, task, together))}
            for task, together in tasks
        ]
    if audit.selected and audit.with_truth < _LEAST_ANSWERED * audit.selected:
        found["warning"] = (
            f"{audit.lacking:,} of {audit.selected:,} audited predictions lack a truth: if these differ from the"
            " others, the audited figures are wrong (request-logger audit lists them)"
        )
    return found


def _metrics(runner: QueryRunner, scope: Scope, task: Task, together: Together) -> list[Json]:
    only = having(AUDITED, task.only)
    answers = runner.fetch(scope, statistics_of(task.shown), only)
    answers |= fetch_cooccurrences(runner, scope, answers, only)
    found = estimates(task.shown, answers, together=together)
    # The folds of a part are not counted.
    return [as_json(replace(each, why=NoInterval.NOT_SPLIT) if needs_folds([each]) else each) for each in found]


def powered_accuracy(audited: Cells, everything: Cells, together: Dependence | NoInterval = INDEPENDENT) -> Json | None:
    """Return the accuracy from the audit's truths and all probabilities (PPI++) as JSON; None without these."""
    if not everything.has_probabilities or audited.with_truth < LEAST_AUDITED:
        return None
    labelled = audited.sums("labelled")
    found = prediction_powered(labelled, audited.sums("correct"), everything.sums("confidence") - labelled)
    if found is None:
        return None
    interval = None if isinstance(together, NoInterval) else found.interval(labelled.n, together)
    return {
        "value": found.value,
        **({"low": interval.low, "high": interval.high} if interval else {}),
        "power": found.power,
        "n": labelled.n,
        "others": everything.predictions - labelled.n,
    }
