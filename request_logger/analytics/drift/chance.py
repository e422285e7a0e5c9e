"""How many values that a reference doesn't have chance alone gives, without any change. Pure code."""

from __future__ import annotations

import math
from collections.abc import Callable


def beyond_range(count: int, n: int, m: int) -> float:
    """Return the probability that ``count`` or more of ``m`` numbers are beyond the range of ``n`` others.

    All orders of the n + m numbers are equally likely; equal numbers make it less likely.
    """
    if count <= 0 or n < 2:
        return 1.0
    return (count + 1) * _ratio(n + m - 1 - count, n - 1, n + m, n) + _ratio(n + m - 1 - count, n, n + m, n)


def new_values(count: int, once: int, n: int, m: int) -> float:
    """Return the probability of ``count`` or more new values in ``m``, where ``n`` others had ``once`` values once.

    A value that one document in n + m has is as likely in one of the m as in one of the n (Good 1953): the probability
    is that of Fisher's exact test.
    """
    rare = count + once
    if count <= 0:
        return 1.0
    every = _log_ways(n + m, m)
    terms = (
        math.exp(_log_ways(rare, k) + _log_ways(n + m - rare, m - k) - every)
        for k in range(count, min(rare, m) + 1)
        if 0 <= m - k <= n + m - rare
    )
    return min(math.fsum(terms), 1.0)


def least_unlikely(chance: Callable[[int], float], most: int, level: float) -> int:
    """Return the greatest count up to ``most`` whose probability, which falls with it, is over ``level``."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if chance(middle) > level else (low, middle - 1)
    return low


def _ratio(a: int, b: int, c: int, d: int) -> float:
    """Return (a choose b) / (c choose d)."""
    return math.exp(_log_ways(a, b) - _log_ways(c, d)) if 0 <= b <= a else 0.0


def _log_ways(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
