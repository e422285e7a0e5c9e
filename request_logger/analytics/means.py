"""Intervals of means: Student's, on the scale on which the mean of such values is closest to normal."""

from __future__ import annotations

import math
from dataclasses import replace

from request_logger.analytics.intervals import Found, Interval, Mean, NoInterval, mean_of
from request_logger.analytics.rollups import MomentSums
from request_logger.analytics.shares import INDEPENDENT, Dependence, share_interval

# A mean of values between two bounds is close enough to normal where at least so many whole values (of the upper and of
# the lower bound) add up to its sum. Fewer are rare events, whose number Wilson's interval allows for.
_ENOUGH = 20
# Values of 0 or more whose standard deviation is at most so many times their mean (1 for the exponential distribution,
# 1.4 for squares of normal errors): on the log scale, their mean is close enough to normal whatever the largest one is.
_MOST_VARIATION = 1.3
# Up to this one (that of the exponential distribution) `unseen` takes values for errors, from _MOST_VARIATION on for
# squares.
_EVEN_VARIATION = 1.0
# A value that so many documents should have had has occurred in none with a probability of 3 % (exp(-3.5)).
_UNSEEN_DOCUMENTS = 3.5
# Numbers of either sign that all happen to have one: of fewer independent ones than this, more than 1 % of samples do
# whose mean is 0 (2^-7 is 0.8 %). Until then nothing but the metric's bounds says that the mean has that sign.
_LEAST_OF_ONE_SIGN = 8
# A limit further than this from the mean on the log scale (a factor of 5e8) says nothing but that there are too few.
_MOST_EXPONENT = 20.0
# On the logit scale the limit is then the bound, and the exponential function of more is beyond a double.
_MOST_LOGIT = 700.0
# Documents from which on values of only 0 and 1 count as a share, although the metric has no bounds.
_LEAST_OF_ANY_VALUES = 20


def are_zeros_and_ones(spread: MomentSums) -> bool:
    """Return whether all values are 0 or 1."""
    # In [0, 1] only 0 and 1 equal their squares.
    return spread.low >= 0.0 and spread.high <= 1.0 and spread.total == spread.squares


def share_or_mean(spread: MomentSums, bounds: tuple[float, float], together: Dependence = INDEPENDENT) -> Found:
    """Return the interval of a mean: that of a share where its values are 0 and 1.

    For a metric without bounds, a few values of 0 and 1 aren't a share: the next value may be 100.
    """
    is_bounded = all(map(math.isfinite, bounds))
    if are_zeros_and_ones(spread) and (is_bounded or spread.n >= _LEAST_OF_ANY_VALUES):
        return share_interval(spread.total, spread.n, together) or NoInterval.NO_METHOD
    return mean_interval(spread, bounds, together)


def mean_interval(spread: MomentSums, bounds: tuple[float, float], together: Dependence = INDEPENDENT) -> Found:
    """Return the interval of the mean of values between ``bounds``.

    With two finite bounds it is symmetric on the logit scale: a skewed distribution then loses most of its skew. It
    also allows for values at the bounds that have not occurred. For values of one sign (by the bounds, or at least
    _LEAST_OF_ONE_SIGN of them) it is computed on the log scale, and its limit on the side of the large values
    allows for the skew that is left (`_skew`) and for those that have not occurred (`unseen`).
    """
    low, high = bounds
    if math.isfinite(low) and math.isfinite(high) and low <= spread.low and spread.high <= high:
        return _between(spread, low, high, together)
    mean = mean_of(spread)
    if mean is None:
        return NoInterval.ALL_EQUAL if spread.n < 2 else NoInterval.SPREAD_UNKNOWN
    if mean.variance == 0.0:
        return NoInterval.ALL_EQUAL
    is_one_sign = spread.n / together.effect >= _LEAST_OF_ONE_SIGN
    if spread.high <= 0.0 and math.isinf(low) and (high == 0.0 or is_one_sign):
        return _negative(mean_interval(_negated(spread), (-high, math.inf), together))
    is_loss = spread.low >= 0.0 and (low == 0.0 or (math.isinf(low) and is_one_sign))
    is_even = is_loss and math.sqrt(mean.variance) <= _MOST_VARIATION * mean.mean
    if not is_even and _dominance(spread, mean) > _most_of_one(mean.n):
        return NoInterval.LARGE_VALUES
    half = _half(mean, together)
    if is_loss:
        more_below, more_above = unseen(spread, together)
        below = half / mean.mean * (1 + more_below)
        above = half / mean.mean * (1 + _skew(mean, together)) * (1 + more_above)
        if max(below, above) > _MOST_EXPONENT:
            return NoInterval.TOO_FEW
        low, high = mean.mean * math.exp(-below), mean.mean * math.exp(above)
        return Interval(low, high, "Student t, log scale", mean.standard_error)
    below, above = (half * (1 + more) for more in _unseen_of_any(spread, mean, together))
    return Interval(mean.mean - below, mean.mean + above, "Student t", mean.standard_error)


def _between(spread: MomentSums, low: float, high: float, together: Dependence) -> Found:
    if not spread.n:
        return NoInterval.ALL_EQUAL
    width = high - low
    # Within what rounding errors may exceed.
    total = min(max((spread.total - low * spread.n) / width, 0.0), float(spread.n))
    mean = mean_of(spread)
    is_rare = min(total, spread.n - total) < _ENOUGH
    if (
        mean is None
        or mean.variance == 0.0
        or not low < mean.mean < high
        or (is_rare and _dominance(spread, mean) > _most_of_one(mean.n))
    ):
        # Of all values between the bounds with this mean, those of 0 and 1 vary most.
        found = share_interval(total, spread.n, together)
        assert found is not None
        error = None if found.error is None else found.error * width
        return Interval(low + width * found.low, low + width * found.high, "Wilson on the mean", error, found.least)
    share = (mean.mean - low) / width
    odds = share / (1 - share)
    ratio = math.exp(min(_half(mean, together) / width / (share * (1 - share)), _MOST_LOGIT))
    below, above = (low + width * each / (1 + each) for each in (odds / ratio, odds * ratio))
    # Values at a bound that have not occurred may be so many more of all documents.
    more = min(_UNSEEN_DOCUMENTS * together.effect / spread.n, 1.0)
    below, above = min(below, mean.mean - more * (mean.mean - low)), max(above, mean.mean + more * (high - mean.mean))
    return Interval(below, above, "Student t, logit scale", mean.standard_error)


def _negated(spread: MomentSums) -> MomentSums:
    return MomentSums(spread.n, -spread.total, spread.squares, -spread.high, -spread.low)


def _negative(found: Found) -> Found:
    return found if isinstance(found, NoInterval) else replace(found, low=-found.high, high=-found.low)


def _half(mean: Mean, together: Dependence) -> float:
    return together.quantile(mean.n - 1) * math.sqrt(together.effect) * mean.standard_error


def _skew(mean: Mean, together: Dependence) -> float:
    """Return by how much of its length the upper half of an interval on the log scale is too short, by the skew.

    The mean of few skewed values is mostly too low, and with it their standard deviation. The first term of the error
    of Student's t (Hall 1992), of which the logarithm removes a part, needs the third moment. That of a few values is
    as uncertain as their largest one, so it is that of a lognormal distribution of the same variation v: 3 v + v^3.
    For lognormal errors this is right, for others (1.6 v for normal ones, 2 v for exponential ones) too wide.
    """
    variation = math.sqrt(mean.variance) / mean.mean
    skewness = 3 * variation + variation**3
    quantile = together.quantile(mean.n - 1)
    term = (skewness / 3 - variation / 2) * quantile**2 + skewness / 6
    return term / math.sqrt(mean.n / together.effect) / quantile


def unseen(spread: MomentSums, together: Dependence = INDEPENDENT) -> tuple[float, float]:
    """Return by how much of their lengths both halves of an interval on the log scale are too short, by selection.

    Samples of heavy tails have an interval only where no large value has occurred (`_most_of_one`): theirs are the low
    means, and those of rare events the ones with more events than expected. The nearer a sample is to that limit the
    more is missing, and more of values whose variation is that of squares of normal errors (1.4) than of errors
    themselves (0.8). This is what squares of lognormal values and of Student's t with 3 and 4 degrees of freedom, and
    the log loss of rare classes, need for a coverage of .93.
    """
    mean = mean_of(spread)
    if mean is None or mean.variance == 0.0 or mean.mean <= 0.0:
        return 0.0, 0.0
    nearness = _nearness(spread, mean, together)
    variation = math.sqrt(mean.variance) / mean.mean
    heaviness = min(max((variation - _EVEN_VARIATION) / (_MOST_VARIATION - _EVEN_VARIATION), 0.0), 1.0)
    rareness = min(max(variation / _MOST_VARIATION, 1.0), 3.0)
    return 0.3 * heaviness * rareness * nearness, (0.5 + heaviness) * nearness


def _unseen_of_any(spread: MomentSums, mean: Mean, together: Dependence) -> tuple[float, float]:
    """Return the same for values of both signs: the half towards the more distant extreme, by how much it is that.

    For a symmetric distribution this is little. Without it, .83 of the intervals of 50 documents have the mean of
    lognormal values, shifted to 0.
    """
    above, below = spread.high - mean.mean, mean.mean - spread.low
    more = 2 * _nearness(spread, mean, together) * (above - below) / (above + below)
    return max(-more, 0.0), max(more, 0.0)


def _nearness(spread: MomentSums, mean: Mean, together: Dependence) -> float:
    """Return how near the values are to those without an interval, from 0 to 1."""
    share = _dominance(spread, mean) * together.effect
    return min(share / _most_of_one(mean.n / together.effect), 1.0)


def _dominance(spread: MomentSums, mean: Mean) -> float:
    """Return the share of the most distant value in the centred sum of squares."""
    farthest = max(spread.high - mean.mean, mean.mean - spread.low)
    return farthest**2 / (mean.variance * (mean.n - 1))


def _most_of_one(n: float) -> float:
    """Return the dominance up to which a mean of n values is close enough to normal.

    The largest square of n normal errors has about this share or less; that of heavy tails (Student's t with 4 degrees
    of freedom, lognormal) mostly more. Simulated by `python -m bench.coverage`.
    """
    return float(n ** (-1 / 3))
