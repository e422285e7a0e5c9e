"""The difference of two shares, against scipy, and a numeric search for the likeliest shares."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy import optimize, stats

from request_logger.analytics.contrasts import ALPHA, Contrast, Difference, Form, NoTest, outcome
from request_logger.analytics.proportions import LEAST_EXPECTED, chi_squared, fisher, score_interval, shares_contrast

SHARE = st.floats(0, 1)


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int, int]:
    n_a, n_b = draw(st.integers(1, 300)), draw(st.integers(1, 3000))
    return draw(st.integers(0, n_a)), n_a, draw(st.integers(0, n_b)), n_b


def table_of(hits_a: int, n_a: int, hits_b: int, n_b: int) -> list[list[int]]:
    return [[hits_a, n_a - hits_a], [hits_b, n_b - hits_b]]


@given(tables())
@example((5, 5, 0, 5))
@example((3, 5, 9000, 10_000))
def test_fisher(table: tuple[int, int, int, int]) -> None:
    assert fisher(*table) == pytest.approx(stats.fisher_exact(table_of(*table))[1], rel=1e-8, abs=1e-12)


@given(tables())
def test_chi_squared(table: tuple[int, int, int, int]) -> None:
    hits_a, n_a, hits_b, n_b = table
    assume(0 < hits_a + hits_b < n_a + n_b)
    expected = stats.chi2_contingency(table_of(*table), correction=False).pvalue
    assert chi_squared(*table) == pytest.approx(expected, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("table", [(5, 10, 7, 12), (30, 90, 31, 900), (900, 1000, 930, 1000), (1, 150, 900, 9000)])
def test_the_score_interval_ends_where_the_score_test_does(table: tuple[int, int, int, int]) -> None:
    """At both ends the distance is 1.96 standard errors of the likeliest shares with that difference."""
    hits_a, n_a, hits_b, n_b = table
    value = hits_b / n_b - hits_a / n_a

    def error(difference: float) -> float:
        def surprise(share: float) -> float:
            other = share + difference
            return -(
                hits_a * math.log(share)
                + (n_a - hits_a) * math.log(1 - share)
                + hits_b * math.log(other)
                + (n_b - hits_b) * math.log(1 - other)
            )

        bounds = max(0.0, -difference) + 1e-12, min(1.0, 1.0 - difference) - 1e-12
        a = optimize.minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        b = a + difference
        return math.sqrt(a * (1 - a) / n_a + b * (1 - b) / n_b)

    low, high = score_interval(*table)
    assert (value - low) / error(low) == pytest.approx(stats.norm.isf(0.025), rel=1e-6)
    assert (high - value) / error(high) == pytest.approx(stats.norm.isf(0.025), rel=1e-6)


@given(tables())
@example((5, 5, 0, 5))
@example((0, 100, 4, 1000))
@example((200, 200, 2900, 3000))
def test_p_value_and_interval_agree(table: tuple[int, int, int, int]) -> None:
    """Whichever test it is; the interval has the difference, and is within the possible ones."""
    found = shares_contrast(*table)
    if isinstance(found, NoTest):
        assert (table[0] + table[2]) in (0, table[1] + table[3])
        return
    once = outcome(found, Form.FIXED)
    assert isinstance(once, Difference)
    low, high = once.interval.low, once.interval.high
    assert -1.0 <= low <= found.value + 1e-12 and found.value - 1e-12 <= high <= 1.0
    if abs(once.p_value - ALPHA) > 1e-9:
        assert (once.p_value < ALPHA) == (low > 0.0 or high < 0.0)


def test_fisher_where_chi_squared_is_off() -> None:
    """As soon as a group expects fewer than LEAST_EXPECTED of either answer; then daily looks have to wait."""
    few, enough = shares_contrast(199, 200, 1000, 1009), shares_contrast(190, 200, 950, 1000)
    assert isinstance(few, Contrast) and isinstance(enough, Contrast)
    assert few.once is not None and enough.once is not None
    assert (few.once.test, enough.once.test) == ("Fisher", "chi-squared")
    waits = outcome(few, Form.SEQUENTIAL)
    assert isinstance(waits, NoTest)
    assert f"fewer than {LEAST_EXPECTED}" in waits.reason
    assert isinstance(outcome(enough, Form.SEQUENTIAL), Difference)


@pytest.mark.parametrize("hits", [(0, 0), (50, 70)])
def test_no_test_where_all_documents_are_alike(hits: tuple[int, int]) -> None:
    assert isinstance(shares_contrast(hits[0], 50, hits[1], 70), NoTest)


@pytest.mark.parametrize("right", [0, 1])
@pytest.mark.parametrize("n", [(100, 100), (150, 4000)])
def test_all_right_against_all_wrong(right: int, n: tuple[int, int]) -> None:
    """The largest difference that there is, in each form, with an error of one more hit and miss in each."""
    contrast = shares_contrast(right * n[0], n[0], (1 - right) * n[1], n[1])
    assert isinstance(contrast, Contrast)
    assert contrast.error**2 == pytest.approx(sum((k + 1) / (k + 2) ** 2 / k for k in n), rel=1e-12)
    for form in Form:
        found = outcome(contrast, form)
        assert isinstance(found, Difference)
        assert found.value == 1 - 2 * right and found.p_value < 1e-9
        assert max(abs(found.interval.low), abs(found.interval.high)) > 0.9


def test_no_documents() -> None:
    assert isinstance(shares_contrast(0, 0, 3, 4), NoTest)
