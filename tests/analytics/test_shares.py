"""Intervals of shares, F1 and the AUC, against scipy and statsmodels where they have them, else against definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from request_logger.analytics.shares import Dependence, auc_interval, f1_interval, share_interval

SIZES = (50, 100, 200, 1000)


@pytest.mark.parametrize(
    ("hits", "n"), [(10, 20), (15, 30), (12, 60), (48, 60), (15, 90), (123, 4567), (4444, 4567), (999_000, 1_000_000)]
)
def test_wilson(hits: int, n: int) -> None:
    """With 10 hits and 10 misses or more, and 15 of more than five times as many."""
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    found = share_interval(hits, n)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.error == pytest.approx(math.sqrt(hits / n * (1 - hits / n) / n), rel=1e-12)
    assert found.least == min(hits, n - hits)


@pytest.mark.parametrize(
    ("n", "hits"),
    [(n, hits) for n in (20, 50, 1000) for hits in range(1, 10 if n == 20 else 15) if hits < 10 or 5 * hits < n],
)
def test_few_hits_or_misses(hits: int, n: int) -> None:
    """Poisson's limit of the number of hits (Brown, Cai and DasGupta 2001); hits and misses are alike."""
    wilson = stats.binomtest(hits, n).proportion_ci(method="wilson")
    found, other = share_interval(hits, n), share_interval(n - hits, n)
    assert found is not None and other is not None
    assert found.low == pytest.approx(min(wilson.low, stats.chi2.ppf(0.05, 2 * hits) / 2 / n), rel=1e-9)
    assert (1 - other.high, 1 - other.low) == pytest.approx((found.low, found.high), abs=1e-12)


def test_fractions_of_hits() -> None:
    """Between the whole numbers, the limit grows with the hits."""
    limits = [share_interval(hits, 100) for hits in np.arange(0.0, 9.9, 0.1).tolist()]
    lows = [each.low for each in limits if each is not None]
    assert len(lows) == len(limits) and lows == sorted(lows)
    found = share_interval(2.5, 100)
    assert found is not None
    assert found.low == pytest.approx(stats.gamma.ppf(0.05, 2.5) / 100, rel=1e-9)


@pytest.mark.parametrize("n", SIZES)
def test_coverage_of_shares(n: int) -> None:
    """Exact, over all counts of hits: at least .925 for every share from .001 to .999."""
    found = [share_interval(hits, n) for hits in range(n + 1)]
    low, high = (np.array([getattr(each, end) for each in found]) for end in ("low", "high"))
    shares = np.concatenate([np.linspace(0.001, 0.05, 99), np.linspace(0.05, 0.95, 91), np.linspace(0.95, 0.999, 99)])
    chance = stats.binom.pmf(np.arange(n + 1), n, shares[:, None])
    covered = (chance * ((low <= shares[:, None]) & (shares[:, None] <= high))).sum(axis=1)
    assert covered.min() > 0.925
    assert covered.mean() < 0.98


def test_nothing_and_everything() -> None:
    assert share_interval(0, 0) is None
    assert f1_interval(0, 0) is None
    none, all_of_them = share_interval(0, 30), share_interval(30, 30)
    assert none is not None and all_of_them is not None
    assert none.low == 0.0 < none.high < 0.15
    assert 0.85 < all_of_them.low < all_of_them.high == 1.0


def test_f1() -> None:
    """F1 grows with the Jaccard index J: 2 J / (1 + J) at both ends of its interval."""
    found, share = f1_interval(30, 20), share_interval(30, 50)
    assert found is not None and share is not None
    assert (found.low, found.high) == pytest.approx([2 * j / (1 + j) for j in (share.low, share.high)], rel=1e-12)
    assert found.method == "Wilson on Jaccard"
    drawn = np.random.default_rng(3).binomial(50, 0.6, 200_000) / 50
    assert found.error == pytest.approx((2 * drawn / (1 + drawn)).std(), rel=0.02)


def test_documents_that_hang_together() -> None:
    """As many as there are, divided by the design effect, with Student's t in place of the normal distribution."""
    found = share_interval(600, 1000, Dependence(5.0, 19))
    assert found is not None
    z, n, p = stats.t.ppf(0.975, 19), 200, 0.6
    center, half = p + z * z / 2 / n, z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    scale = 1 + z * z / n
    assert (found.low, found.high) == pytest.approx(((center - half) / scale, (center + half) / scale), rel=1e-9)
    assert found.error == pytest.approx(math.sqrt(p * (1 - p) / 1000), rel=1e-12)


@pytest.mark.parametrize("area", [0.0, 0.3, 0.5, 0.76, 0.99, 1.0])
@pytest.mark.parametrize(("positives", "negatives"), [(2, 2), (5, 500), (300, 20), (1000, 1000)])
def test_auc(area: float, positives: int, negatives: int) -> None:
    """Newcombe 2006, method 5: each limit is 1.96 of its own standard errors away."""
    found = auc_interval(area, positives, negatives, 0.0)
    assert 0.0 <= found.low <= area <= found.high <= 1.0 and found.low < found.high
    others = (positives + negatives) / 2 - 1
    for limit in {found.low, found.high} - {0.0, 1.0, area}:
        shape = 1 + others * (1 - limit) / (2 - limit) + others * limit / (1 + limit)
        variance = limit * (1 - limit) * shape / (positives * negatives)
        assert (area - limit) ** 2 / variance == pytest.approx(stats.norm.ppf(0.975) ** 2, rel=1e-6)


def test_the_bound_of_the_bins_is_part_of_the_interval() -> None:
    alone, binned = auc_interval(0.7, 100, 100, 0.0), auc_interval(0.7, 100, 100, 0.05)
    assert (binned.low, binned.high) == pytest.approx((alone.low - 0.05, alone.high + 0.05))
    assert auc_interval(0.99, 100, 100, 0.5).high == 1.0
