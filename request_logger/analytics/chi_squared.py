"""The chi-squared distribution, using only the standard library: tail probability and quantile.

scipy has it, but is larger than everything else in the server's image together; the tests compare the two.
"""

from __future__ import annotations

import math
from functools import lru_cache

# Replaces a zero denominator in Lentz's method.
_TINY = 1e-300
# A bound on the steps of series and fraction: below 2,000 were needed for up to 10,000 degrees of freedom.
_STEPS = 100_000
_PRECISION = 1e-16


def above(x: float, freedom: float) -> float:
    """Return the probability of a value above ``x`` with ``freedom`` > 0 degrees of freedom."""
    if x <= 0:
        return 1.0
    shape, x = freedom / 2, x / 2
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    return front * _fraction(shape, x) if x > shape + 1 else max(1.0 - front * _series(shape, x), 0.0)


@lru_cache(maxsize=256)
def quantile(share: float, freedom: float) -> float:
    """Return the value below which a share of the distribution is, such as 0.95."""
    low, high = 0.0, freedom + 1.0
    while above(high, freedom) > 1 - share:
        low, high = high, 2 * high
    # Bisection: the function is monotone, and 200 halvings exceed the precision of a double.
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if above(middle, freedom) > 1 - share else (low, middle)
    return high


def _series(shape: float, x: float) -> float:
    """Return the lower incomplete gamma function without its front factor (DLMF 8.11.4)."""
    total = term = 1 / shape
    for step in range(1, _STEPS):
        term *= x / (shape + step)
        total += term
        if term < _PRECISION * total:
            break
    return total


def _fraction(shape: float, x: float) -> float:
    """Return the upper one without its front factor by its continued fraction (DLMF 8.9.2), with Lentz's method."""
    b = x + 1 - shape
    c, d = 1 / _TINY, 1 / b
    value = d
    for step in range(1, _STEPS):
        a = -step * (step - shape)
        b += 2
        d = 1 / (_not_zero(a * d + b))
        c = _not_zero(b + a / c)
        value *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
