"""The gate on change: has a metric become worse than it was, by more than chance and more than is allowed?"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from request_logger.analytics.consistency import judge
from request_logger.analytics.contrasts import LEAST_FIXED, Contrast, Difference, Form, NoTest, outcome
from request_logger.analytics.differences import contrasts
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.estimates import statistics_of, value_of
from request_logger.analytics.fold_contrast import fetch_folds, folds_contrast
from request_logger.analytics.label_averages import fetch_cooccurrences
from request_logger.analytics.maturity import find_maturity, only_mature
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Scope, is_time
from request_logger.analytics.selection import IN_BATCHES, Selection
from request_logger.analytics.tasks import Task, tasks_of
from request_logger.analytics.windows import Windows, windows_of
from request_logger.settings import Settings
from request_logger.store.ports import EngineReader
from scorers.base import Metric

_LIMIT = re.compile(r"(?:(?P<metric>[\w.-]+)=)?(?P<limit>[^=]+)")


class Severity(StrEnum):
    """What follows from a drop that is too large."""

    FAILURE = "failure"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class MaxDrop:
    """A metric (empty: each scorer's headline) may become worse by at most ``limit``."""

    metric: str
    limit: float
    severity: Severity

    @classmethod
    def of(cls, text: str, severity: Severity) -> MaxDrop:
        """Parse ``0.02`` or ``accuracy=0.02``. Raises ValueError."""
        found = _LIMIT.fullmatch(text.strip())
        try:
            limit = float(found["limit"]) if found else math.nan
        except ValueError:
            limit = math.nan
        if found is None or not (math.isfinite(limit) and limit >= 0):
            raise ValueError(f"expected a number of at least 0, or metric=number, found {text!r}")
        return cls(found["metric"] or "", limit, severity)


@dataclass(frozen=True, slots=True)
class Drop:
    """How much worse a scorer's metric has become: its limits, and whether the drop is certainly within that allowed.

    ``drop`` is positive where the metric has become worse, ``low`` and ``high`` are the limits of its interval. They
    are None, and ``reason`` says why, where the difference can't be tested; then ``holds`` is None, too.
    """

    limit: MaxDrop
    metric: str
    scorer: str
    labels: tuple[int, int]
    before: float | None
    now: float | None
    drop: float | None = None
    low: float | None = None
    high: float | None = None
    holds: bool | None = None
    reason: str = ""


def check_drops(
    engine: EngineReader,
    settings: Settings,
    selection: Selection,
    against: str,
    limits: Sequence[MaxDrop],
    *,
    minimum: int = 1,
    scorer: str = "",
    mature: bool = False,
) -> tuple[list[Drop], Windows, list[dict[str, str]]]:
    """Return how far the metrics of each scorer have dropped, what was compared, and the indices that were left out.

    A limit is exceeded where the whole interval of the drop is above it, which chance doesn't explain. ``minimum``: the
    number of scored pairs that both windows need. ``mature``: only predictions that are old enough for their labels, in
    both. Raises BadQueryError (UnknownMaturityError where it is unknown which are mature), StoreUnavailableError.
    """
    for option, text in (("--from", selection.since), ("--to", selection.until)):
        if text and not is_time(text):
            raise BadQueryError(f"{option}: expected a date such as 2026-01-02, or now-7d, found {text!r}")
    runner = QueryRunner(engine)
    own = replace(selection, since="", until="")
    scope = Scope(selection.indices(settings), tuple(own.filters()), selection.since or None, selection.until or None)
    windows = windows_of(scope, against)

    def drops() -> list[Drop]:
        judged = windows
        if mature:
            # Older predictions than the selected ones show how long labels take.
            known = find_maturity(runner, replace(scope, start=None, end=None))
            current, reference = (only_mature(each, known) for each in (windows.current, windows.reference))
            judged = replace(windows, current=current, reference=reference)
        return _Gate(runner, settings, judged, minimum).drops(limits, scorer)

    return runner.settled(drops, scope.indices), windows, runner.left_out.as_json()


def drops_between(
    runner: QueryRunner, settings: Settings, before: Scope, now: Scope, limits: Sequence[MaxDrop]
) -> list[Drop]:
    """Return how far the metrics of each scorer have dropped from some documents to others; see `check_drops`."""
    return _Gate(runner, settings, Windows(now, before, ""), 1).drops(limits, "")


@dataclass(frozen=True, slots=True)
class _Gate:
    runner: QueryRunner
    settings: Settings
    windows: Windows
    minimum: int

    def drops(self, limits: Sequence[MaxDrop], scorer: str) -> list[Drop]:
        scopes = self.windows.reference, self.windows.current
        before, now = ({task.name: task for task in tasks_of(self.runner, each, self.settings)} for each in scopes)
        names = [name for name in now if not scorer or name == scorer]
        found = []
        for limit in limits:
            having = [name for name in names if _metric(now[name], limit.metric) is not None]
            if names and not having:
                metrics = sorted({each.name for name in names for each in now[name].metrics if not each.per_class})
                raise BadQueryError(f"--{_OPTIONS[limit.severity]}: expected one of {', '.join(metrics)}")
            found += [self._drop(limit, before.get(name), now[name]) for name in having]
        return found

    def _drop(self, limit: MaxDrop, before: Task | None, now: Task) -> Drop:
        metric = _metric(now, limit.metric)
        assert metric is not None
        labels = before.count if before else 0, now.count
        made = Drop(limit, metric.name, now.name, labels, None, None)
        if min(labels) < max(self.minimum, 1):
            return replace(made, reason=f"fewer than {max(self.minimum, 1):,} scored pairs")
        if metric.higher_is_better is None:
            return replace(made, reason="neither more nor less of it is better")
        scopes = [scope.having(now.only) for scope in (self.windows.reference, self.windows.current)]
        for scope in scopes:
            judgement = judge(self.runner, scope)
            if now.name in judgement.reasons:
                return replace(made, reason=judgement.reasons[now.name])
            if not judgement.kept(now.name, [metric]):
                return replace(made, reason=" ".join(judgement.notes))
        answers = [self.runner.fetch(scope, statistics_of([metric])) for scope in scopes]
        answers = [
            each | fetch_cooccurrences(self.runner, scope, each) for each, scope in zip(answers, scopes, strict=True)
        ]
        made = replace(made, before=value_of(metric, answers[0]), now=value_of(metric, answers[1]))
        contrast: Contrast | NoTest | None
        if self.settings.fold_key or any(self.runner.count(scope, IN_BATCHES) for scope in scopes):
            sums = [fetch_folds(self.runner, scope, statistics_of([metric])) for scope in scopes]
            contrast = folds_contrast(metric, sums[0], sums[1], answers)
        else:
            contrast = contrasts([metric], *answers).get(metric.name)
        if contrast is None:
            return replace(made, reason="no test of its difference is known")
        return _judged(made, contrast, is_loss=metric.higher_is_better is False)


def _judged(made: Drop, contrast: Contrast | NoTest, *, is_loss: bool) -> Drop:
    test = outcome(contrast, Form.FIXED) if isinstance(contrast, Contrast) else contrast
    if not isinstance(test, Difference):
        if made.before is not None and made.before == made.now and min(made.labels) >= LEAST_FIXED:
            return replace(made, drop=0.0, holds=True, reason=test.reason)
        return replace(made, reason=test.reason)
    sign = 1 if is_loss else -1
    low, high = sorted((sign * test.interval.low, sign * test.interval.high))
    return replace(made, drop=sign * test.value, low=low, high=high, holds=low <= made.limit.limit)


_OPTIONS = {Severity.FAILURE: "max-drop", Severity.WARNING: "warn-drop"}


def _metric(task: Task, name: str) -> Metric | None:
    if not name:
        return next(iter(task.shown), None)
    return next((metric for metric in task.metrics if metric.name == name and not metric.per_class), None)
