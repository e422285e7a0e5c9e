"""Intervals of means: Student's on three scales, and where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from request_logger.analytics.intervals import Interval, NoInterval
from request_logger.analytics.means import mean_interval, share_or_mean, unseen
from request_logger.analytics.rollups import MomentSums
from request_logger.analytics.shares import INDEPENDENT, Dependence, share_interval

ANY = (-math.inf, math.inf)
LOSS = (0.0, math.inf)
SHARE = (0.0, 1.0)
RNG = np.random.default_rng(17)


def moments(x: np.ndarray) -> MomentSums:
    return MomentSums(len(x), *map(float, (x.sum(), (x * x).sum(), x.min(), x.max())))


def limits(x: np.ndarray, bounds: tuple[float, float], together: Dependence | None = None) -> tuple[float, float]:
    found = mean_interval(moments(x), bounds, together) if together else mean_interval(moments(x), bounds)
    assert isinstance(found, Interval)
    return found.low, found.high


def test_any_numbers() -> None:
    x = RNG.normal(2, 3, 80)
    # As many on both sides, and as far: without an extreme on one side, Student's interval.
    x = np.array([*x, *(4 - x)])
    expected = stats.ttest_1samp(x, 0).confidence_interval()
    assert limits(x, ANY) == pytest.approx((expected.low, expected.high), rel=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_with_an_extreme(sign: int) -> None:
    """The half towards it is longer."""
    x = np.random.default_rng(8).normal(0, 1, 79)
    x = np.array([*x, 1.3 * np.abs(x).max()])
    half = stats.t.ppf(0.975, 79) * stats.sem(x)
    far, near = x.max() - x.mean(), x.mean() - x.min()
    nearness = far**2 / ((x - x.mean()) ** 2).sum() * 80 ** (1 / 3)
    assert 0 < nearness < 1
    longer = half * (1 + 2 * nearness * (far - near) / (far + near))
    expected = (x.mean() - half, x.mean() + longer)
    assert limits(sign * x, ANY) == pytest.approx(sorted(sign * end for end in expected), rel=1e-9)


def test_numbers_of_one_sign() -> None:
    """Whatever the bounds allow; those below 0 are alike."""
    x = RNG.exponential(3, 400)
    low, high = limits(x, LOSS)
    assert limits(x, ANY) == (low, high)
    assert limits(-x, ANY) == pytest.approx((-high, -low), rel=1e-12)
    assert mean_interval(moments(np.array([*-np.ones(99), -500.0])), ANY) is NoInterval.LARGE_VALUES


def test_one_large_value_among_even_ones() -> None:
    """It is no heavy tail where the standard deviation is at most 1.3 times the mean."""
    x = np.array([*np.ones(99), 14.0])
    assert x.std(ddof=1) < 1.3 * x.mean()
    assert limits(x, LOSS)[1] > x.mean()
    x[-1] = 17.0
    assert x.std(ddof=1) > 1.3 * x.mean()
    assert mean_interval(moments(x), LOSS) is NoInterval.LARGE_VALUES


def test_numbers_that_are_not_negative() -> None:
    """The delta method: the logarithm of the mean has the standard error of the mean, divided by the mean.

    The upper limit has the first term of the skew, too, as that of a lognormal distribution of the same variation.
    """
    x = RNG.exponential(3, 400)
    quantile, variation = stats.t.ppf(0.975, 399), stats.variation(x, ddof=1)
    lognormal = stats.lognorm(math.sqrt(math.log1p(variation**2)))
    assert lognormal.std() / lognormal.mean() == pytest.approx(variation)
    skewness = float(lognormal.stats("s"))
    extra = ((2 * quantile**2 + 1) * skewness / 6 - quantile**2 * variation / 2) / math.sqrt(400)
    more_below, more_above = unseen(moments(x))
    ends = -quantile * (1 + more_below), (quantile + extra) * (1 + more_above)
    low, high = (x.mean() * math.exp(each * variation / 20) for each in ends)
    assert limits(x, LOSS) == pytest.approx((low, high), rel=1e-9)
    assert limits(np.tile(x, 3), LOSS, Dependence(3.0, 399)) == pytest.approx((low, high), rel=1e-3)


def test_large_values_that_have_not_occurred() -> None:
    """More of them the nearer the sample is to one without an interval, and the more its values vary."""
    even = np.array([1.0, 2.0] * 50)
    below, above = unseen(moments(even))
    assert below == 0.0
    assert above == pytest.approx(0.5 * 0.25 / (25.0) * 100 ** (1 / 3), rel=1e-9)
    # The variation of 1.15 is half way from errors to squares of errors, and the largest value has nearly all squares.
    some = np.array([*np.ones(99), 14.0])
    share = (14 - some.mean()) ** 2 / ((some - some.mean()) ** 2).sum()
    assert share > 100 ** (-1 / 3)
    heaviness = (stats.variation(some, ddof=1) - 1.0) / 0.3
    assert unseen(moments(some)) == pytest.approx((0.3 * heaviness, 0.5 + heaviness), rel=1e-9)
    squares = np.random.default_rng(3).normal(size=200) ** 2
    below, above = unseen(moments(squares))
    assert stats.variation(squares, ddof=1) > 1.3
    rareness = stats.variation(squares, ddof=1) / 1.3
    assert above == pytest.approx(5 * below / rareness, rel=1e-9)
    rare = np.array([*np.zeros(95), *np.full(5, 7.0)])
    assert stats.variation(rare, ddof=1) > 3 * 1.3
    assert unseen(moments(rare)) == pytest.approx((0.9 * unseen(moments(rare))[1] / 1.5, unseen(moments(rare))[1]))
    assert unseen(moments(np.ones(9))) == unseen(moments(-squares)) == (0.0, 0.0)


def test_a_bound_whose_values_have_not_occurred() -> None:
    """Nearly equal values between bounds may be those of a source of which 3.5 in n are at a bound."""
    x = np.array([0.97, 0.99] * 25)
    low, high = limits(x, SHARE)
    assert low == pytest.approx(0.98 - 3.5 / 50 * 0.98, rel=1e-9)
    assert high == pytest.approx(max(0.98 + 3.5 / 50 * 0.02, high), rel=1e-9)
    assert limits(x, SHARE, Dependence(50.0, 19)) == pytest.approx((0.0, 1.0))


@pytest.mark.parametrize("bounds", [SHARE, (0.0, 2.0), (-1.0, 1.0)])
def test_numbers_between_bounds(bounds: tuple[float, float]) -> None:
    """The same with the logit; the interval is within the bounds."""
    low, width = bounds[0], bounds[1] - bounds[0]
    y = RNG.beta(2, 5, 300)
    half = stats.t.ppf(0.975, 299) * stats.sem(y) / (y.mean() * (1 - y.mean()))
    logit = math.log(y.mean() / (1 - y.mean()))
    expected = [low + width / (1 + math.exp(-(logit + sign * half))) for sign in (-1, 1)]
    assert limits(low + width * y, bounds) == pytest.approx(expected, rel=1e-9)


def test_few_values_apart_from_a_bound() -> None:
    """As many whole ones add up to them: Wilson's interval, which allows for those not seen."""
    x = np.zeros(100)
    x[:3] = 0.9
    wilson = share_interval(2.7, 100)
    assert wilson is not None
    assert limits(x, SHARE) == pytest.approx((wilson.low, wilson.high), rel=1e-12)
    equal = share_interval(100, 100)
    assert equal is not None
    assert limits(np.ones(100), SHARE) == (equal.low, equal.high)


@pytest.mark.parametrize(
    ("x", "bounds", "why"),
    [
        (np.full(50, 3.0), ANY, NoInterval.ALL_EQUAL),
        (np.full(50, 3.0), LOSS, NoInterval.ALL_EQUAL),
        (np.zeros(50), LOSS, NoInterval.ALL_EQUAL),
        (np.array([3.0]), LOSS, NoInterval.ALL_EQUAL),
        (np.array([*np.ones(99), 500.0]), LOSS, NoInterval.LARGE_VALUES),
        (np.array([*np.ones(99), -500.0]), ANY, NoInterval.LARGE_VALUES),
        (np.array([*np.ones(99), -1.0, 15.0]), ANY, NoInterval.LARGE_VALUES),
        (1e9 + np.arange(20) * 1e-3, ANY, NoInterval.SPREAD_UNKNOWN),
    ],
)
def test_no_interval(x: np.ndarray, bounds: tuple[float, float], why: NoInterval) -> None:
    assert mean_interval(moments(x), bounds) is why


def test_bounds_that_values_exceed() -> None:
    """A scorer of a user's own may declare them wrongly."""
    x = RNG.normal(0.5, 1, 100)
    assert limits(x, SHARE) == limits(x, ANY)


def test_documents_that_hang_together() -> None:
    x = RNG.normal(2, 3, 80)
    assert x.min() < 0
    x = np.array([*x, *(4 - x)])
    half = stats.t.ppf(0.975, 19) * math.sqrt(4.0) * stats.sem(x)
    assert limits(x, ANY, Dependence(4.0, 19)) == pytest.approx((x.mean() - half, x.mean() + half), rel=1e-9)


@pytest.mark.parametrize("bounds", [LOSS, ANY])
@pytest.mark.parametrize(("values", "together"), [(RNG.random(60), Dependence(1e9, 19)), ([1e-3, 5.0], INDEPENDENT)])
def test_no_limits_that_are_any_number(values: list[float], together: Dependence, bounds: tuple[float, float]) -> None:
    """Where the limit of the log scale would be 1e85 there is a reason; that of Student's t is finite."""
    found = mean_interval(moments(np.array(values)), bounds, together)
    if bounds == LOSS:
        assert found is NoInterval.TOO_FEW
    else:
        assert isinstance(found, Interval) and -math.inf < found.low < 0.0 < found.high < math.inf


@pytest.mark.parametrize("sign", [1, -1])
def test_few_numbers_that_happen_to_have_one_sign(sign: int) -> None:
    """Of 2 unbiased errors half the samples do: their interval is Student's, and has 0 in it where that has."""
    x = sign * np.array([1.0, 2.0, 1.5, 1.2, 1.8, 1.1, 1.9])
    expected = stats.ttest_1samp(x[:2], 0).confidence_interval()
    assert expected.low < 0.0 < expected.high
    assert limits(x[:2], ANY) == pytest.approx((expected.low, expected.high), rel=1e-9)
    # From 8 on the sign is theirs, as it is where the bounds say so.
    logarithmic = mean_interval(moments(np.array([*x, sign * 1.5])), ANY)
    assert isinstance(logarithmic, Interval) and "log" in logarithmic.method
    eight_alike = mean_interval(moments(np.array([*x, sign * 1.5])), ANY, Dependence(2.0, 19))
    assert isinstance(eight_alike, Interval) and "log" not in eight_alike.method
    bounded = mean_interval(moments(x), LOSS if sign > 0 else (-math.inf, 0.0))
    assert isinstance(bounded, Interval) and "log" in bounded.method


@pytest.mark.parametrize("bounds", [LOSS, ANY])
def test_few_errors_of_zero_and_one_are_no_share(bounds: tuple[float, float]) -> None:
    """An MSE of 1 of one document is not below 1; what is bounded is a share whatever its number is."""
    one, few, many = (moments(np.array(x, dtype=float)) for x in ([1], [1, 0] * 9, [1, 0] * 10))
    assert share_or_mean(one, bounds) is NoInterval.ALL_EQUAL
    assert share_or_mean(few, bounds) == mean_interval(few, bounds)
    assert share_or_mean(many, bounds) == share_interval(10, 20)
    assert share_or_mean(one, SHARE) == share_interval(1, 1)


def test_no_overflow() -> None:
    """Whatever the design effect is."""
    x = RNG.random(60)
    low, high = limits(x, SHARE, Dependence(1e9, 19))
    assert 0.0 <= low < high <= 1.0
