"""The verdict of a comparison: which group is better, or what these documents could have shown."""

from __future__ import annotations

import math
from typing import Any

from request_logger.analytics.contrasts import (
    ALPHA,
    Contrast,
    Difference,
    Form,
    NoTest,
    detectable,
    needed_sizes,
    outcome,
)
from scorers.base import Metric

Report = dict[str, Any]

_ANY = (-math.inf, math.inf)


def contrast_as_json(found: Contrast | NoTest, form: Form, bounds: tuple[float, float] = _ANY) -> Report:
    """Return a difference as JSON: tested in a form, or with the reason why it isn't.

    ``bounds`` are the metric's: its values can't differ by more, whatever the interval allows for.
    """
    test = outcome(found, form) if isinstance(found, Contrast) else found
    if isinstance(test, Difference):
        # A scorer of a user's own may declare bounds that its values exceed.
        most = max(bounds[1] - bounds[0], abs(test.value))
        return {
            "difference": test.value,
            "low": max(test.interval.low, -most),
            "high": min(test.interval.high, most),
            "method": test.interval.method,
            "p_value": test.p_value,
            "test": test.test,
        }
    known = {"difference": found.value} if isinstance(found, Contrast) else {}
    return {**known, "reason": test.reason}


def verdict(
    names: tuple[str, str],
    metric: Metric,
    found: Contrast | NoTest,
    form: Form,
    *,
    by: str = "groups",
    delta: float | None = None,
) -> Report:
    """Return which group is better by a metric, or that it can't be told.

    ``by``: ``groups``, ``pairs`` or ``folds``. ``detectable`` is the difference that these documents show with a
    probability of 80 %. With ``delta``: ``needed`` is the size of each group (or the number of pairs) that shows a
    difference of that size with the same probability, and ``more`` is what is still missing of it; without these no
    realistic number does.
    """
    test = contrast_as_json(found, form)
    verdict: Report = {"metric": metric.name, "by": by, "form": form.value}
    verdict.update({key: test[key] for key in ("p_value", "reason") if key in test})
    verdict["differ"] = bool(test.get("p_value", 1.0) < ALPHA and test["difference"])
    if verdict["differ"] and metric.higher_is_better is not None:
        verdict["better"] = names[1] if (test["difference"] > 0) == metric.higher_is_better else names[0]
    if isinstance(found, Contrast):
        if not verdict["differ"] and "p_value" in test:
            verdict["detectable"] = detectable(found, form)
        if delta is not None:
            verdict.update(_sizes(found, delta, form))
    return verdict


def _sizes(found: Contrast, delta: float, form: Form) -> Report:
    needed = needed_sizes(found, delta, form)
    if needed is None:
        return {"detect": delta}
    more = [max(total - size, 0) for total, size in zip(needed, found.sizes, strict=True)]
    known: Report = {"detect": delta, "needed": list(needed), "more": more}
    return {**known, "needed": needed[0], "more": more[0]} if len(needed) == 1 else known
