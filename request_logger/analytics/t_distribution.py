"""Student's t distribution, using only the standard library.

scipy has it, but is larger than everything else in the server's image together; the tests compare the two.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

# Above it the two-term series in 1 / freedom is exact to a double, and the gamma functions would lose digits.
_LARGE = 1e5
# A bound on the continued fraction's steps: at most 40 were needed for t up to 1,000 and freedom below _LARGE.
_STEPS = 10_000
# Newton's steps come as near as this, relatively, and bisection does the rest.
_NEAR = 1e-11
_MOST_STEPS = 60
# Replaces a zero denominator in Lentz's method.
_TINY = 1e-300


def two_sided(t: float, freedom: float) -> float:
    """Return P(abs(T) >= abs(t)) for ``freedom`` > 0 degrees of freedom."""
    t = abs(t)
    if freedom >= _LARGE:
        # Fisher 1925: the normal tail plus the first two terms of the expansion in 1 / freedom.
        density = math.exp(-t * t / 2) / math.sqrt(2 * math.pi)
        first = (t**3 + t) / (4 * freedom)
        second = (3 * t**7 - 7 * t**5 - 5 * t**3 - 3 * t) / (96 * freedom**2)
        return math.erfc(t / math.sqrt(2)) + 2 * density * (first + second)
    return incomplete_beta(freedom / (freedom + t * t), t * t / (freedom + t * t), freedom / 2, 0.5)


@lru_cache(maxsize=256)
def quantile(level: float, freedom: float) -> float:
    """Return t such that P(-t <= T <= t) is ``level``, such as 0.95."""
    wanted = 1.0 - level
    near = _newton(wanted, freedom, max(NormalDist().inv_cdf(0.5 + level / 2), 1.0))
    low, high = near * (1 - _NEAR), near * (1 + _NEAR)
    if two_sided(low, freedom) <= wanted:
        low = 0.0
    while two_sided(high, freedom) > wanted:
        low, high = high, 2 * high
    # Bisection: the function is monotone, and 200 halvings exceed the precision of a double.
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if two_sided(middle, freedom) > wanted else (low, middle)
    return high


def _newton(wanted: float, freedom: float, t: float) -> float:
    """Return about where P(abs(T) >= t) is ``wanted``, from a ``t`` below, which no step leaves."""
    half = (freedom + 1) / 2
    scale = 2 * math.exp(math.lgamma(half) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    for _ in range(_MOST_STEPS):
        step = (two_sided(t, freedom) - wanted) / (scale * math.exp(-half * math.log1p(t * t / freedom)))
        t += step
        if not step > _NEAR * t / 4:
            break
    return t


def incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b); ``rest`` is 1 - x, passed to keep its precision.

    Computed by its continued fraction (Numerical Recipes 6.4, DLMF 8.17.22) with Lentz's method.
    """
    if x <= 0.0:
        return 0.0
    if rest <= 0.0:
        return 1.0
    # The fraction converges fast only on this side.
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(rest, x, b, a)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    front = math.exp(a * math.log(x) + b * math.log(rest) - log_beta) / a
    return front * _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1.0 / _not_zero(1.0 + even * d), _not_zero(1.0 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1.0 / _not_zero(1.0 + odd * d), _not_zero(1.0 + odd / c)
        value *= d * c
        if abs(d * c - 1.0) < 1e-16:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
