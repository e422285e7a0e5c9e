"""Whether two groups of predictions can be compared at all: the traffic's split, and the share that has feedback."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from request_logger.analytics.coverage import coverage
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.proportions import chi_squared
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Scope
from request_logger.analytics.surface import Control, Surface

# A warning at the usual 5 % would be false once in twenty comparisons, and nobody would read it any more.
WARNS_BELOW = 0.001
# Without a declared split, half and half is assumed of groups that are at least nearly so; canaries are not.
_NEARLY_HALF = (0.4, 0.6)
Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the two groups: its predictions, and those of them with feedback."""

    name: str
    predictions: int
    with_feedback: int


def arm(runner: QueryRunner, scope: Scope, name: str) -> Arm:
    """Count a group. Raises what :class:`QueryRunner` raises."""
    found = coverage(runner, scope)
    return Arm(name, found.predictions, found.with_feedback)


def parse_split(text: str) -> tuple[float, float] | None:
    """Return the shares of a split such as ``90:10``; None for an empty text. Raises BadQueryError."""
    if not text:
        return None
    try:
        first, second = (float(part) for part in text.split(":"))
    except ValueError:
        first = second = math.nan
    if not (math.isfinite(first + second) and first > 0 and second > 0):
        raise BadQueryError(f"--split: expected two positive numbers such as 90:10, found {text!r}")
    return first / (first + second), second / (first + second)


def traffic_check(
    a: Arm, b: Arm, split: tuple[float, float] | None, *, is_shadow: bool, surface: Surface = Surface.TERMINAL
) -> tuple[Report, list[str]]:
    """Return both checks as JSON, and a warning for each that fails.

    The split is ``split``, else half and half for a shadow, which answers the same requests, and for groups that are
    nearly equal; any other is unknown, and not checked.
    """
    found: Report = {}
    warnings = []
    ratio = _sample_ratio(a, b, split, is_shadow=is_shadow)
    if ratio is not None:
        found["sample_ratio"] = ratio
        if ratio["p_value"] < WARNS_BELOW:
            shares = ratio["split"]
            assumed = f" (assumed: {Control.SPLIT.on(surface)} sets another)" if ratio["assumed"] else ""
            warnings.append(
                f"the traffic is not split {100 * shares[0]:.4g}:{100 * shares[1]:.4g}{assumed}, but {a.predictions:,}"
                f" to {b.predictions:,}: events are lost, or the groups were not chosen at random"
            )
    if a.predictions and b.predictions:
        rates = [each.with_feedback / each.predictions for each in (a, b)]
        p_value = chi_squared(a.with_feedback, a.predictions, b.with_feedback, b.predictions)
        found["feedback"] = {"a": rates[0], "b": rates[1], "p_value": p_value}
        if p_value < WARNS_BELOW:
            warnings.append(
                f"{100 * rates[0]:.3g} % of {a.name} have feedback, but {100 * rates[1]:.3g} % of {b.name}: if feedback"
                " depends on the answer, the difference below may come from that alone"
            )
    return found, warnings


def _sample_ratio(a: Arm, b: Arm, split: tuple[float, float] | None, *, is_shadow: bool) -> Report | None:
    n = a.predictions + b.predictions
    if not n:
        return None
    assumed = split is None
    if split is None:
        if not is_shadow and not _NEARLY_HALF[0] <= a.predictions / n <= _NEARLY_HALF[1]:
            return None
        split = (0.5, 0.5)
    expected = n * split[0], n * split[1]
    squared = (a.predictions - expected[0]) ** 2 / expected[0] + (b.predictions - expected[1]) ** 2 / expected[1]
    return {"split": list(split), "assumed": assumed, "p_value": math.erfc(math.sqrt(squared / 2))}
