"""The difference of two groups in one number with its error, and the two ways to test it: once, or every day.

``Form.SEQUENTIAL`` is the asymptotic confidence sequence of Waudby-Smith et al. 2021 (arXiv 2103.06476, equations 9,
155 and 161): with a probability of 95 % its interval has the true difference at every look from the first to the last,
so a comparison may be repeated every day and stopped at the first difference. ``Form.FIXED`` is the usual interval, for
one look at a sample size that was chosen in advance. In both forms the p-value is below ALPHA exactly where the
interval excludes 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from request_logger.analytics import t_distribution
from request_logger.analytics.intervals import Interval, z_of

# The conventional significance level and power: a difference is reported with p < 0.05, and sample sizes are such that
# 80 % of comparisons detect it.
ALPHA = 0.05
POWER = 0.8
# The confidence sequence is narrowest, relative to the fixed interval, at this number of documents of both groups. It
# has to be chosen before looking, so it is a constant; GrowthBook has the same.
TUNED_FOR = 5_000
# Documents per group below which no confidence sequence is computed: it is asymptotic, and a variance from fewer
# documents is too often far too small.
LEAST_SEQUENTIAL = 100
# The same for a t test in one look; exact tests have no such limit.
LEAST_FIXED = 30
# The powers of a larger t exceed a double; its p-value is 0 or far below any level.
_MOST_T = 1e40
# More documents than anyone will have.
_MOST_NEEDED = 1e15


class Form(StrEnum):
    """How often the comparison is looked at."""

    SEQUENTIAL = "sequential"
    FIXED = "fixed-n"


@dataclass(frozen=True, slots=True)
class NoTest:
    """Why a difference isn't tested."""

    reason: str


SAME_VALUES = NoTest("all documents of one of the two have the same value")


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference (second minus first) with its interval, two-sided p-value and test."""

    value: float
    interval: Interval
    p_value: float
    test: str


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference (second minus first) with its standard error.

    ``sizes`` are the numbers of documents of both groups, or the number of pairs alone. ``variances`` are their
    variances per document, for sample sizes. ``freedom`` are the degrees of freedom of the error, ``slack`` is how far
    ``value`` itself may be off. ``once`` is the test in one look where that is not ``value`` ± t ``error``, ``early``
    the reason why the confidence sequence can't start yet though there are enough documents.
    """

    value: float
    error: float
    sizes: tuple[int, ...]
    variances: tuple[float, ...]
    test: str
    freedom: float = math.inf
    slack: float = 0.0
    once: Difference | None = None
    early: NoTest | None = None


def outcome(found: Contrast, form: Form) -> Difference | NoTest:
    """Return the difference with interval and p-value in a form, or why it isn't tested."""
    if form is Form.SEQUENTIAL:
        if min(found.sizes) < LEAST_SEQUENTIAL:
            return _too_few(found, LEAST_SEQUENTIAL)
        return found.early or _sequential(found)
    if found.once is not None:
        return found.once
    if min(found.sizes) < LEAST_FIXED:
        return _too_few(found, LEAST_FIXED)
    return _fixed(found) if found.error else SAME_VALUES


def clustered_contrast(value: float, error: float, clusters: int, size: int, test: str) -> Contrast:
    """Return a difference whose error comes from ``clusters`` of documents that belong together, ``size`` in all.

    In one look it is tested by Student's t with ``clusters`` - 1 degrees of freedom. The confidence sequence is for a
    known error: its own is as much larger as Student's t is than the normal distribution.
    """
    multiplier = fixed_multiplier(clusters - 1)
    interval = Interval(value - multiplier * error, value + multiplier * error, test)
    once = Difference(value, interval, t_distribution.two_sided(value / error, clusters - 1), test)
    error *= multiplier / fixed_multiplier()
    return Contrast(value, error, (size,), (error**2 * size,), test, once=once)


def _too_few(found: Contrast, least: int) -> NoTest:
    what = "pairs" if len(found.sizes) == 1 else "documents in each of the two"
    return NoTest(f"the test needs at least {least} {what}, found {min(found.sizes):,}")


def _fixed(found: Contrast) -> Difference:
    half = fixed_multiplier(found.freedom) * found.error + found.slack
    t = min(max(abs(found.value) - found.slack, 0.0) / found.error, _MOST_T)
    p_value = t_distribution.two_sided(t, found.freedom) if math.isfinite(found.freedom) else _normal_tails(t)
    return Difference(found.value, Interval(found.value - half, found.value + half, found.test), p_value, found.test)


def _sequential(found: Contrast) -> Difference | NoTest:
    if not found.error:
        return SAME_VALUES
    n = sum(found.sizes)
    half = sequential_multiplier(n) * found.error + found.slack
    z = max(abs(found.value) - found.slack, 0.0) / found.error
    grown = n * _rho_squared() + 1
    # The logarithm of one over the e-value, which would overflow for a large difference.
    logarithm = math.log(grown) / 2 - _rho_squared() * n * z * z / (2 * grown)
    method = f"confidence sequence, {found.test}"
    interval = Interval(found.value - half, found.value + half, method)
    return Difference(found.value, interval, math.exp(min(logarithm, 0.0)), method)


def fixed_multiplier(freedom: float = math.inf) -> float:
    """Return the half width of an interval for one look, in standard errors."""
    return t_distribution.quantile(1 - ALPHA, freedom) if math.isfinite(freedom) else z_of(1 - ALPHA)


def sequential_multiplier(n: float) -> float:
    """Return the half width of the confidence sequence after ``n`` documents, in standard errors."""
    grown = n * _rho_squared() + 1
    return math.sqrt(2 * grown * math.log(math.sqrt(grown) / ALPHA) / (n * _rho_squared()))


def _rho_squared() -> float:
    return (-2 * math.log(ALPHA) + math.log(-2 * math.log(ALPHA) + 1)) / TUNED_FOR


def _normal_tails(z: float) -> float:
    return math.erfc(z / math.sqrt(2))


def detectable(found: Contrast, form: Form) -> float:
    """Return the difference that these documents show with a probability of POWER."""
    multiplier = fixed_multiplier(found.freedom) if form is Form.FIXED else sequential_multiplier(sum(found.sizes))
    return (multiplier + _z_power()) * found.error + found.slack


def needed_sizes(found: Contrast, delta: float, form: Form) -> tuple[int, ...] | None:
    """Return the sizes at which a true difference of ``delta`` is shown with a probability of POWER.

    One look needs n = (z + z_power)^2 (V_a + V_b / r) / delta^2 documents of the first group and r n of the second,
    where r is their present ratio. For the confidence sequence it is the size at which a single look has that power, so
    the difference is usually shown earlier. None where the variances are unknown, or beyond 1e15 documents.
    """
    if not found.variances or not sum(found.variances) or not min(found.sizes):
        return None
    ratios = [size / found.sizes[0] for size in found.sizes]
    spread = sum(variance / ratio for variance, ratio in zip(found.variances, ratios, strict=True))

    def shows(n: float) -> bool:
        multiplier = fixed_multiplier() if form is Form.FIXED else sequential_multiplier(n * sum(ratios))
        return (multiplier + _z_power()) * math.sqrt(spread / n) + found.slack <= delta

    if not shows(_MOST_NEEDED):
        return None
    first = _least(shows)
    return tuple(math.ceil(first * ratio) for ratio in ratios)


def _least(holds: Callable[[float], bool]) -> float:
    """Return the least number for which a condition holds that stays true once it is, to 1e-12 of it."""
    low, high = 0.0, _MOST_NEEDED
    while high - low > 1e-12 * high and high > 1e-6:
        # The geometric mean once there is a lower end: the answer may be 10 or 10 billion.
        middle = math.sqrt(low * high) if low else high / 1024
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _z_power() -> float:
    return z_of(2 * POWER - 1)
