"""Tests of pairs against scipy: Student's t, McNemar's, and the interval that belongs to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from request_logger.analytics.contrasts import ALPHA, Contrast, Difference, Form, NoTest, outcome
from request_logger.analytics.pair_contrast import clopper_pearson, discordant, pairs_contrast
from request_logger.analytics.paired_samples import Pairs


def of_counts(only_a: int, only_b: int, both: int) -> Pairs:
    a = (1.0,) * only_a + (0.0,) * only_b + (1.0,) * both
    b = (0.0,) * only_a + (1.0,) * only_b + (1.0,) * both
    return Pairs("request", a, b, cut=False)


def test_pairs_of_numbers() -> None:
    """The paired t-test of scipy, and the variance of the differences."""
    generator = np.random.default_rng(21)
    a = generator.normal(3, 1, 40)
    b = a + generator.normal(0.2, 0.5, 40)
    contrast = pairs_contrast(Pairs("row", tuple(a), tuple(b), cut=True), is_share=False)
    assert isinstance(contrast, Contrast)
    found = outcome(contrast, Form.FIXED)
    expected = stats.ttest_rel(b, a)
    limits = expected.confidence_interval()
    assert isinstance(found, Difference)
    assert found.test == "paired t"
    assert found.value == pytest.approx((b - a).mean(), rel=1e-12)
    assert contrast.variances == pytest.approx([(b - a).var(ddof=1)], rel=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.interval.low, found.interval.high) == pytest.approx((limits.low, limits.high), rel=1e-9)


@given(st.integers(0, 700), st.integers(0, 700), st.integers(1, 500))
def test_pairs_of_right_and_wrong(only_a: int, only_b: int, both: int) -> None:
    """McNemar's test, and an interval that excludes 0 exactly where it finds a difference."""
    pairs = of_counts(only_a, only_b, both)
    assert discordant(pairs) == (only_a, only_b)
    contrast = pairs_contrast(pairs, is_share=True)
    if not only_a + only_b:
        assert isinstance(contrast, NoTest)
        return
    assert isinstance(contrast, Contrast)
    found = outcome(contrast, Form.FIXED)
    assert isinstance(found, Difference)
    n = only_a + only_b
    expected = stats.binomtest(only_a, n).pvalue if n <= 1000 else stats.chi2.sf((only_a - only_b) ** 2 / n, 1)
    assert found.p_value == pytest.approx(expected, rel=1e-9, abs=1e-300)
    low, high = found.interval.low, found.interval.high
    assert low <= found.value + 1e-12 and found.value - 1e-12 <= high
    if abs(found.p_value - ALPHA) > 1e-9:
        assert (found.p_value < ALPHA) == (low > 0.0 or high < 0.0)


@pytest.mark.parametrize(("hits", "n"), [(0, 3), (3, 3), (7, 19), (450, 1000)])
def test_clopper_pearson(hits: int, n: int) -> None:
    expected = stats.binomtest(hits, n).proportion_ci(method="exact")
    assert clopper_pearson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_what_is_no_sample() -> None:
    """One pair, pairs that all differ alike, and for daily looks few pairs that differ at all."""
    assert isinstance(pairs_contrast(Pairs("request", (1.0,), (2.0,), cut=False), is_share=False), NoTest)
    alike = Pairs("request", (1.0, 2.0, 5.0), (2.0, 3.0, 6.0), cut=False)
    assert isinstance(pairs_contrast(alike, is_share=False), NoTest)
    for only_b, kind in ((9, NoTest), (10, Difference)):
        contrast = pairs_contrast(of_counts(0, only_b, 200), is_share=True)
        assert isinstance(contrast, Contrast)
        assert isinstance(outcome(contrast, Form.SEQUENTIAL), kind)


@pytest.mark.parametrize("is_share", [True, False])
def test_rows_of_batches(is_share: bool) -> None:
    """Batches of equal size: the t-test of their means, as the rows of a batch may all be alike."""
    generator = np.random.default_rng(5)
    a = generator.random(24) < 0.7 if is_share else generator.normal(0, 1, 24)
    b = generator.random(24) < 0.9 if is_share else a + generator.normal(0.5, 1, 24)
    # Five rows each, all alike.
    rows = [tuple(np.repeat(x.astype(float), 5).tolist()) for x in (a, b)]
    pairs = Pairs("request", *rows, False, tuple(np.repeat([f"r{k}" for k in range(24)], 5).tolist()))
    contrast = pairs_contrast(pairs, is_share=is_share)
    assert isinstance(contrast, Contrast)
    found = outcome(contrast, Form.FIXED)
    assert isinstance(found, Difference)
    expected = stats.ttest_rel(b.astype(float), a.astype(float))
    limits = expected.confidence_interval()
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.interval.low, found.interval.high) == pytest.approx((limits.low, limits.high), rel=1e-9)
    assert found.test == "paired t by request"
    few = Pairs("request", *(row[:45] for row in rows), False, pairs.requests[:45])
    assert isinstance(pairs_contrast(few, is_share=is_share), NoTest)
