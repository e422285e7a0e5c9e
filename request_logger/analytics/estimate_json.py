"""Estimates as the JSON of reports."""

from __future__ import annotations

from typing import Any

from request_logger.analytics.estimates import Estimate
from request_logger.analytics.intervals import NoInterval


def as_json(found: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON."""
    interval = found.interval
    return {
        "name": found.name,
        "value": found.value,
        **({"low": interval.low, "high": interval.high, "method": interval.method} if interval else {}),
        **({"no_interval": str(found.why)} if found.why not in (None, NoInterval.NO_ESTIMATE) else {}),
        **({"design_effect": found.together.effect} if found.together else {}),
        **({"by_chance": found.by_chance} if found.by_chance else {}),
        "n": found.n,
        "baseline": found.baseline,
        "higher_is_better": found.higher_is_better,
    }
