"""The distances of two distributions are those of scipy and Evidently, and their noise is as stated."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from request_logger.analytics import chi_squared
from request_logger.analytics.drift import distances
from tests.helpers import DATA

EVIDENTLY: list[dict[str, Any]] = json.loads((DATA / "evidently.json").read_text())["cases"]
COUNTS = st.integers(2, 30).flatmap(
    lambda size: st.tuples(*(st.lists(st.integers(0, 10_000), min_size=size, max_size=size) for _ in range(2)))
)


def both(drawn: tuple[list[int], list[int]]) -> tuple[list[int], list[int]]:
    """Counts of two samples, neither of which is empty."""
    a, b = drawn
    return [a[0] + 1, *a[1:]], [*b[:-1], b[-1] + 1]


@settings(deadline=None)
@given(COUNTS)
def test_scipy_has_the_same(drawn: tuple[list[int], list[int]]) -> None:
    a, b = both(drawn)
    p, q = (np.array(each) / sum(each) for each in (a, b))
    assert distances.jensen_shannon(a, b) == pytest.approx(jensenshannon(p, q, base=2), abs=1e-7)
    assert distances.jensen_shannon(a, b) ** 2 == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-12)
    assert distances.l_infinity(a, b) == pytest.approx(np.abs(p - q).max(), abs=1e-12)
    cells = np.arange(len(a))
    whole = stats.ks_2samp(np.repeat(cells, a), np.repeat(cells, b), method="asymp").statistic
    assert distances.kolmogorov_smirnov(a, b) == pytest.approx(whole, abs=1e-12)
    table = np.array([a, b])
    table = table[:, table.sum(axis=0) > 0]
    expected = stats.chi2_contingency(table, correction=False).pvalue if table.shape[1] > 1 else 1.0
    assert distances.homogeneity(a, b) == pytest.approx(expected, rel=1e-9, abs=1e-290)
    p, q = (np.where(each == 0, distances.EMPTY, each) for each in (p, q))
    assert distances.psi(a, b) == pytest.approx(((p - q) * np.log(p / q)).sum(), abs=1e-12)


@pytest.mark.parametrize("case", EVIDENTLY, ids=lambda case: case["name"])
def test_evidently_has_the_same(case: dict[str, Any]) -> None:
    """Frozen answers of Evidently, by its own functions, on the same cells."""
    a, b = case["reference"], case["current"]
    assert distances.psi(a, b) == pytest.approx(case["psi"], abs=1e-9)
    assert distances.jensen_shannon(a, b) == pytest.approx(case["jensen_shannon"], abs=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 3, 9, 50, 199])
@pytest.mark.parametrize("share", [0.001, 0.05, 0.5, 0.95, 0.9999, 1 - 1e-9])
def test_chi_squared(freedom: int, share: float) -> None:
    x = stats.chi2.ppf(share, freedom)
    assert chi_squared.quantile(share, freedom) == pytest.approx(x, rel=1e-7 if share > 0.99999 else 1e-9)
    assert chi_squared.above(x, freedom) == pytest.approx(stats.chi2.sf(x, freedom), rel=1e-9)
    assert chi_squared.above(0, freedom) == 1


@settings(deadline=None)
@given(COUNTS)
def test_merged_cells_keep_all_documents(drawn: tuple[list[int], list[int]]) -> None:
    a, b = both(drawn)
    share = min(sum(a), sum(b)) / (sum(a) + sum(b))
    for merge in (distances.merged_neighbours, distances.merged_rare):
        groups = merge(a, b)
        assert sorted(cell for group in groups for cell in group) == list(range(len(a)))
        for group in groups if len(groups) > 1 else ():
            assert share * sum(a[cell] + b[cell] for cell in group) >= distances.LEAST_EXPECTED
    assert all(group == list(range(group[0], group[-1] + 1)) for group in distances.merged_neighbours(a, b))


@pytest.mark.parametrize(("n", "m", "cells"), [(200, 200, 10), (1000, 1000, 2), (1000, 300, 10), (20_000, 1000, 30)])
def test_the_noise_floor_is_that_of_equal_distributions(n: int, m: int, cells: int) -> None:
    """Of 2,000 pairs of samples from one distribution, about 5 % have a PSI above the floor."""
    generator = np.random.default_rng(7)
    shares = np.full(cells, 1 / cells)
    above = 0
    for _ in range(2000):
        a, b = generator.multinomial(n, shares), generator.multinomial(m, shares)
        above += distances.psi(a, b) > distances.noise_floor(a, b, 0.95)
    assert 0.03 < above / 2000 < 0.075
