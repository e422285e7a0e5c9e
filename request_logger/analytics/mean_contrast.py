"""The difference of two independent means, or of their roots, from sums alone."""

from __future__ import annotations

import math

from request_logger.analytics.contrasts import SAME_VALUES, Contrast, NoTest
from request_logger.analytics.intervals import Mean, mean_of
from request_logger.analytics.rollups import MomentSums

# A loss whose mean rests on few documents has a variance that rests on still fewer: that of a small group is far too
# low wherever the group happens to lack them, and Welch's test then finds differences in up to 35 % of equal groups.
# There both groups get one variance, that of all their documents. The limits come from `python -m bench.type_one`.
#
# Groups differ in size by more than this: below, one variance or two make no difference.
_UNEQUAL = 1.5
# The largest value's share of the centred squares, in either group.
_HEAVY = 0.1
# With a still larger variance of the smaller group, equal variances can't be assumed any more.
_OTHER_SPREAD = 8.0
_NOISE = NoTest("the values are so much larger than their spread that their sums can't tell it")


def means_contrast(a: MomentSums, b: MomentSums, *, root: bool = False) -> Contrast | NoTest:
    """Return the difference of two means (or of their roots, by the delta method), b minus a.

    Welch's t test; with heavy tails and groups of unequal sizes Student's, with one variance for both groups.
    """
    if min(a.n, b.n) < 2:
        return NoTest("the test needs at least 2 documents in each of the two")
    first, second = mean_of(a), mean_of(b)
    if first is None or second is None or not math.isfinite(first.variance + second.variance):
        return _NOISE
    if not first.variance or not second.variance:
        return SAME_VALUES
    scales = 1.0, 1.0
    value = second.mean - first.mean
    if root:
        # Var(sqrt(m)) is Var(m) / (4 m).
        scales = 1 / (4 * first.mean), 1 / (4 * second.mean)
        value = math.sqrt(second.mean) - math.sqrt(first.mean)
    own = first.variance * scales[0], second.variance * scales[1]
    terms = own[0] / a.n, own[1] / b.n
    name = ", delta method" if root else ""
    if not _shares_variance(a, b, first, second):
        freedom = sum(terms) ** 2 / (terms[0] ** 2 / (a.n - 1) + terms[1] ** 2 / (b.n - 1))
        return Contrast(value, math.sqrt(sum(terms)), (a.n, b.n), own, f"Welch t{name}", freedom)
    freedom = a.n + b.n - 2
    pooled = ((a.n - 1) * first.variance + (b.n - 1) * second.variance) / freedom
    one = pooled * scales[0], pooled * scales[1]
    error = math.sqrt(one[0] / a.n + one[1] / b.n)
    return Contrast(value, error, (a.n, b.n), one, f"Student t, one variance{name}", freedom)


def _shares_variance(a: MomentSums, b: MomentSums, first: Mean, second: Mean) -> bool:
    if max(a.n, b.n) <= _UNEQUAL * min(a.n, b.n) or min(a.low, b.low) < 0.0:
        return False
    smaller, larger = (first, second) if a.n < b.n else (second, first)
    if smaller.variance > _OTHER_SPREAD * larger.variance:
        return False
    return max(_largest_share(a, first), _largest_share(b, second)) > _HEAVY


def _largest_share(sums: MomentSums, mean: Mean) -> float:
    """Return the share of the centred squares that the value furthest above the mean carries."""
    return (sums.high - mean.mean) ** 2 / (mean.variance * (sums.n - 1))
