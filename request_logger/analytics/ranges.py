"""Chooses the edges of ranges of numbers with about equal counts, with as many digits as they need. Pure code."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal

# A double is determined by 17 significant digits.
_MOST_DIGITS = 17


def edges_of(sample: Sequence[float], count: int) -> list[float]:
    """Return at most ``count`` - 1 ascending edges that split a sample into ranges of about equal counts.

    Each edge belongs to the range above it. A value that is more frequent than a range's share has a range of its own
    where values are on both sides, and the others share the rest.
    """
    weights = Counter(value for value in sample if math.isfinite(value))
    left, ranges = weights.total(), count
    edges: list[float] = []
    inside, before = 0, math.nan
    for value, weight in sorted(weights.items()):
        # Whether the range's count is nearer to its share without this value.
        if inside and ranges > 1 and inside + weight / 2 > left / ranges:
            edges.append(shortest_between(before, value))
            left, ranges, inside = left - inside, ranges - 1, 0
        inside, before = inside + weight, value
    return edges


def shortest_between(low: float, high: float) -> float:
    """Return the number with the fewest digits that is above ``low`` and at most ``high``."""
    exact = Decimal(repr(high))
    for digits in range(1, _MOST_DIGITS + 1):
        unit = Decimal(1).scaleb(exact.adjusted() - digits + 1)
        found = float((exact / unit).to_integral_value(ROUND_FLOOR) * unit)
        if low < found <= high:
            return found
    return high
