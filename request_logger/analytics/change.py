"""How much the headline metrics of a report have changed since the time span of the same length before it."""

from __future__ import annotations

from typing import Any

from request_logger.analytics.conditions import where
from request_logger.analytics.drop_gate import Drop, MaxDrop, Severity, drops_between
from request_logger.analytics.maturity import find_maturity, only_mature
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.report import Options
from request_logger.analytics.scope import find_scope
from request_logger.analytics.windows import Against, windows_of
from request_logger.settings import Settings
from request_logger.store.ports import EngineReader

_HEADLINE = MaxDrop("", 0.0, Severity.WARNING)


def changes_of(
    engine: EngineReader, settings: Settings, options: Options, *, only_own: bool = False
) -> list[dict[str, Any]]:
    """Return one entry per scorer: its ``metric``, the value ``before`` and ``now``, and how it has changed.

    ``difference`` is now minus before, ``low`` to ``high`` its two-sided 95 % interval, ``verdict`` better, worse or
    unclear. Instead of these a ``reason`` where the change can't be tested. Empty without a start of the time span, or
    without a span before it. Raises BadQueryError, StoreUnavailableError.
    """
    if not options.start:
        return []
    runner = QueryRunner(engine)
    scope = find_scope(engine, settings, options.target, options.start, options.end, options.by_date, only_own=only_own)
    scope = where(runner, scope, options.where)
    windows = windows_of(scope, Against.PREVIOUS)
    scopes = windows.reference, windows.current
    if options.mature:
        known = find_maturity(runner, scope)
        scopes = only_mature(scopes[0], known), only_mature(scopes[1], known)
    before, now = scopes
    found = runner.settled(lambda: drops_between(runner, settings, before, now, [_HEADLINE]), scope.indices)
    return [_as_json(each, windows.name.removeprefix(f"{Against.PREVIOUS}: ")) for each in found]


def _as_json(drop: Drop, period: str) -> dict[str, Any]:
    found: dict[str, Any] = {"scorer": drop.scorer, "metric": drop.metric, "period": period}
    found |= {name: value for name, value in (("before", drop.before), ("now", drop.now)) if value is not None}
    found["documents"] = list(drop.labels)
    if drop.low is None or drop.high is None or drop.drop is None:
        return found | {"reason": drop.reason}
    assert drop.before is not None and drop.now is not None
    # A drop is positive where the metric has become worse, whichever direction that is.
    sign = 1.0 if (drop.now - drop.before) * drop.drop > 0 else -1.0
    low, high = sorted((sign * drop.low, sign * drop.high))
    verdict = "worse" if drop.low > 0 else "better" if drop.high < 0 else "unclear"
    return found | {"difference": sign * drop.drop, "low": low, "high": high, "verdict": verdict}
