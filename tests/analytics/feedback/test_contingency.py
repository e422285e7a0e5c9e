"""The test of labelled against unlabelled predictions: scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from request_logger.analytics import chi_squared
from request_logger.analytics.feedback.contingency import selection_test
from request_logger.analytics.feedback.strata import strata_of
from tests.analytics.feedback.made import cells_of


@pytest.mark.parametrize("freedom", [1, 2, 5, 19, 199, 5000])
def test_the_distribution(freedom: int) -> None:
    for x in (0.0, 1e-6, 0.3, freedom * 0.5, freedom * 0.99, freedom + 0.1, freedom * 1.3, freedom + 60.0):
        assert chi_squared.above(x, freedom) == pytest.approx(stats.chi2.sf(x, freedom), rel=1e-9, abs=1e-300)


def test_it_is_that_of_scipy() -> None:
    rng = np.random.RandomState(3)
    bins = rng.randint(0, 100, 3000)
    said = np.where(bins >= 50, "yes", "no").tolist()
    truth = [s if rng.random_sample() < 0.05 + 0.002 * b else None for s, b in zip(said, bins, strict=True)]
    cells = cells_of(said, truth, bins.tolist(), np.full(3000, 0.6))
    found = selection_test(cells.cells)
    assert found is not None
    strata = strata_of(cells.cells, lambda stratum: True).strata
    table = [[s.with_truth for s in strata], [s.predictions - s.with_truth for s in strata]]
    oracle = stats.chi2_contingency(table, correction=False)
    assert found.freedom == oracle.dof > 10
    assert found.chi_squared == pytest.approx(oracle.statistic, rel=1e-9)
    assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-9)
    assert found.cramers_v == pytest.approx(stats.contingency.association(table, method="cramer"), rel=1e-9)
    shares = [s.with_truth / s.predictions for s in strata]
    assert found.lowest.with_truth / found.lowest.predictions == min(shares)
    assert found.highest.with_truth / found.highest.predictions == max(shares)
    halved = selection_test(cells.cells, 2.0)
    assert halved is not None and halved.chi_squared == pytest.approx(found.chi_squared / 2)


@pytest.mark.parametrize("known", [0, 40])
def test_no_test_without_both_kinds(known: int) -> None:
    truth = [*["a"] * known, *[None] * (40 - known)]
    assert selection_test(cells_of(["a"] * 40, truth, [k % 4 for k in range(40)], np.full(40, 0.5)).cells) is None


def test_no_test_of_few() -> None:
    """Less than five would be expected in each stratum but one."""
    truth = [*["a"] * 6, *[None] * 94]
    assert selection_test(cells_of(["a"] * 100, truth, [k % 4 for k in range(100)], np.full(100, 0.5)).cells) is None
