"""Intervals and tests against scipy, and against their definitions where scipy has none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from request_logger.analytics import intervals, t_distribution
from request_logger.analytics.intervals import Mean
from request_logger.analytics.rollups import MomentSums

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 3, 7.3, 30, 200, 1e4, 1e7, 1e12])
@pytest.mark.parametrize("t", [0.0, 0.01, 0.3, 1.0, 1.96, 5.0, 40.0])
def test_student(t: float, freedom: float) -> None:
    assert t_distribution.two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-9, abs=1e-14)
    assert t_distribution.two_sided(-t, freedom) == t_distribution.two_sided(t, freedom)


@pytest.mark.parametrize("freedom", [1e5, 1.5e5, 1e6])
@pytest.mark.parametrize("t", [0.5, 1.0, 2.0])
def test_student_of_many(t: float, freedom: float) -> None:
    """Both terms of the series are needed for the last digits."""
    assert t_distribution.two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-13)


@pytest.mark.parametrize("freedom", [1, 2, 9.7, 100, 1e5, 1e9])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_student_quantile(level: float, freedom: float) -> None:
    assert t_distribution.quantile(level, freedom) == pytest.approx(stats.t.ppf(0.5 + level / 2, freedom), rel=1e-9)


def test_incomplete_beta() -> None:
    for a, b, x in RNG.random((50, 3)) * (20, 20, 1):
        assert t_distribution.incomplete_beta(x, 1 - x, a, b) == pytest.approx(
            special.betainc(a, b, x), rel=1e-9, abs=1e-14
        )


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 30), (30, 30), (7, 19), (123, 4567), (999_999, 1_000_000)])
def test_wilson(hits: int, n: int) -> None:
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    found = intervals.wilson(hits, n)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_trials() -> None:
    assert intervals.wilson(0, 0) is None


def test_means() -> None:
    a = RNG.normal(3, 1, 40)
    found = intervals.mean_of(MomentSums(len(a), a.sum(), (a * a).sum(), a.min(), a.max()))
    assert found is not None
    assert found.standard_error == pytest.approx(stats.sem(a), rel=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("n", [2, 3, 50])
def test_variance_of_any_scale(n: int, scale: float) -> None:
    """From sums, of two values as of many; what rounding may eat is a share of the sum, whatever the unit."""
    x = scale * np.random.default_rng(n).normal(1, 1, n)
    found = intervals.mean_of(MomentSums(n, x.sum(), (x * x).sum(), x.min(), x.max()))
    assert found is not None
    assert (found.n, found.mean, found.variance) == pytest.approx((n, x.mean(), x.var(ddof=1)), rel=1e-9)


def test_variance_that_rounding_has_eaten() -> None:
    """At a mean of 1e9 times the spread, a sum of squares can't tell the spread: then there is no interval."""
    x = 1e9 + RNG.normal(0, 1, 100)
    assert intervals.mean_of(MomentSums(100, x.sum(), (x * x).sum(), x.min(), x.max())) is None
    assert intervals.mean_of(MomentSums(3, 1500.0, 750_000.0, 500.0, 500.0)) == Mean(3, 500.0, 0.0)
    assert intervals.mean_of(MomentSums(1, 3.0, 9.0, 3.0, 3.0)) is None
    # 1e18 has a rounding error of 128: what is left of it is noise, not a variance.
    assert intervals.mean_of(MomentSums(2, 2e9, 2e18 + 512, 1e9 - 16, 1e9 + 16)) is None


@pytest.mark.parametrize(("a", "b"), [(0, 0), (3, 3), (1, 9), (40, 12), (0, 1), (400, 500)])
def test_mcnemar(a: int, b: int) -> None:
    expected = stats.binomtest(a, a + b).pvalue if a + b else 1.0
    assert intervals.mcnemar(a, b) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_many() -> None:
    expected = stats.chi2.sf((6000 - 6200) ** 2 / 12200, 1)
    assert intervals.mcnemar(6000, 6200) == pytest.approx(expected, rel=1e-9)
