"""How many values beyond those of a reference chance gives, against scipy."""

from __future__ import annotations

import pytest
from scipy import stats

from request_logger.analytics.drift.chance import beyond_range, least_unlikely, new_values


@pytest.mark.parametrize(("n", "m"), [(2, 1), (10, 3), (1000, 100), (300, 20_000), (100_000, 100_000)])
def test_beyond_range(n: int, m: int) -> None:
    """The share of the range of n uniform numbers is beta-distributed, so that the count is beta-binomial.

    scipy's tail is 1 minus a sum, so that its small values are rounding errors.
    """
    for count in (0, 1, 2, 5, 40):
        right = stats.betabinom(m, 2, n - 1).sf(count - 1) if count <= m else 0.0
        assert beyond_range(count, n, m) == pytest.approx(right, rel=1e-7, abs=1e-10)
    assert beyond_range(5, 1, m) == 1.0


@pytest.mark.parametrize(("n", "m", "once"), [(10, 3, 0), (10, 3, 4), (1000, 100, 12), (300, 20_000, 7)])
def test_new_values(n: int, m: int, once: int) -> None:
    """Fisher's exact test, one-sided."""
    for count in (0, 1, 2, 3):
        right = stats.fisher_exact([[count, m - count], [once, n - once]], alternative="greater").pvalue
        assert new_values(count, once, n, m) == pytest.approx(right, rel=1e-7)


def test_least_unlikely() -> None:
    """The greatest count that chance still gives."""
    assert least_unlikely(lambda count: 1 / (1 + count), 100, 0.1) == 8
    assert least_unlikely(lambda _: 1.0, 7, 0.1) == 7
    assert least_unlikely(lambda count: float(count == 0), 7, 0.1) == 0


def test_a_certain_number_of_new_values() -> None:
    """A probability is at most 1, however large the numbers are whose logarithms it is made of."""
    for m in (10, 1000, 10**5, 10**6, 10**7):
        for once in (1, 2, 3):
            assert [new_values(count, once, once, m) for count in (1, 2, 5)] == pytest.approx([1.0] * 3, abs=1e-6)
            assert max(new_values(count, once, once, m) for count in (1, 2, 5)) <= 1
