"""The terms of intervals, and McNemar's test, as pure functions of counts and sums.

All assume independent documents. Rows of one batch often are not: see `jackknife` for the intervals of a report.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

from request_logger.analytics.rollups import MomentSums

# The conventional confidence level.
LEVEL = 0.95
# A variance below this share of the sum of squares is rounding error: doubles have 16 digits, and a sum over millions
# of values loses a few of them.
_RELATIVE_NOISE = 1e-11
# Above 1,000 discordant pairs the chi-squared approximation is close enough, and the binomial sum has large integers.
EXACT_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval (level LEVEL unless stated) and its method.

    ``error`` is the standard error of the value for independent documents. ``least`` is the number of documents of the
    rarest kind that it depends on (hits, misses, a class). None where either is unknown.
    """

    low: float
    high: float
    method: str
    error: float | None = None
    least: float | None = None


class NoInterval(StrEnum):
    """Why a metric has no interval."""

    NO_ESTIMATE = "it is not an estimate: it describes these documents alone"
    NO_METHOD = "no method is known for this metric, and the documents don't tell: see intervals.md"
    ALL_EQUAL = "all values are equal, so nothing shows how much they vary"
    SPREAD_UNKNOWN = "the values are so much larger than their spread that their squares can't determine it"
    LARGE_VALUES = "a few large values have most of the spread: the mean of such values needs more documents"
    TOO_FEW = "the values vary too much for so few documents"
    FEW_OTHERS = "fewer than 5 documents are of other classes than the most frequent one"
    RARE_CLASS = (
        "fewer than 10 documents are of other classes than the most frequent one, and theirs are the large losses"
    )
    FEW_PER_CLASS = "there are fewer than 10 documents per class"
    ONE_CLASS = "there are fewer than two documents of a class"
    MANY_CELLS = "the confusion matrix has more than 400 cells"
    WITHOUT_FOLD = "some documents were stored without a fold: request-logger rescore adds it"
    FEW_PER_FOLD = "there are fewer than 5 documents per fold"
    FEW_FOLDS = "the documents are in fewer than 10 folds"
    NOT_SPLIT = "it needs the folds, which are not counted by time or by the values of a field"


# An interval, or why there is none.
Found = Interval | NoInterval


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its sample variance (divisor n - 1) and the number of values."""

    n: int
    mean: float
    variance: float

    @property
    def standard_error(self) -> float:
        """The standard error of the mean."""
        return math.sqrt(self.variance / self.n)


def z_of(level: float) -> float:
    """Return z such that a standard normal value is within -z and z with probability ``level``."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(hits: float, n: float, level: float = LEVEL) -> Interval | None:
    """Return Wilson's score interval of a proportion (Wilson 1927); None without trials."""
    if n <= 0:
        return None
    z = z_of(level)
    share = hits / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if hits <= 0 else max(center - half, 0.0)
    high = 1.0 if hits >= n else min(center + half, 1.0)
    return Interval(low, high, "Wilson")


def mean_of(spread: MomentSums) -> Mean | None:
    """Return mean and variance from sums; None below two values, or where the variance is within rounding error."""
    if spread.n < 2:
        return None
    mean = spread.total / spread.n
    if spread.low == spread.high:
        return Mean(spread.n, mean, 0.0)
    rest = spread.squares - spread.total * mean
    # Sums beyond the range of doubles leave a rest of infinity or no number.
    if not rest > _RELATIVE_NOISE * spread.squares:
        return None
    return Mean(spread.n, mean, rest / (spread.n - 1))


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided p-value of McNemar's test: discordant pairs favour both sides equally.

    Exact (binomial, p = 1/2) up to EXACT_LIMIT pairs; above, chi-squared (a - b)^2 / (a + b) with one degree of
    freedom.
    """
    n = only_a + only_b
    if n == 0:
        return 1.0
    if n > EXACT_LIMIT:
        return math.erfc(abs(only_a - only_b) / math.sqrt(n) / math.sqrt(2))
    tail = sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / (1 << n))
