"""The two forms of a test: against frozen answers of gbstats and statsmodels, and against each other."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from request_logger.analytics.contrasts import (
    ALPHA,
    LEAST_FIXED,
    LEAST_SEQUENTIAL,
    POWER,
    Contrast,
    Difference,
    Form,
    NoTest,
    detectable,
    fixed_multiplier,
    needed_sizes,
    outcome,
    sequential_multiplier,
)
from request_logger.analytics.mean_contrast import means_contrast
from request_logger.analytics.proportions import shares_contrast
from request_logger.analytics.rollups import MomentSums

DATA = Path(__file__).parent.parent / "data" / "comparisons"
Z = stats.norm.isf(ALPHA / 2) + stats.norm.ppf(POWER)


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DATA / name).read_text(encoding="utf-8"))["cases"]
    return found


def contrast_of(case: dict[str, Any]) -> Contrast:
    a, b = case["a"], case["b"]
    if case["kind"] == "share":
        found = shares_contrast(a[1], a[0], b[1], b[0])
    else:
        # The extremes only decide on one variance for both, which needs values from 0 on.
        found = means_contrast(MomentSums(*a, -1.0, a[1]), MomentSums(*b, -1.0, b[1]))
    assert isinstance(found, Contrast)
    return found


@pytest.mark.parametrize("case", cases("gbstats.json"))
def test_the_confidence_sequence_is_that_of_gbstats(case: dict[str, Any]) -> None:
    """Interval and p-value of SequentialTwoSidedTTest on the same sums."""
    found = outcome(contrast_of(case), Form.SEQUENTIAL)
    assert isinstance(found, Difference)
    assert found.value == pytest.approx(case["difference"], rel=1e-9)
    assert (found.interval.low, found.interval.high) == pytest.approx((case["low"], case["high"]), rel=1e-9)
    assert found.p_value == pytest.approx(case["p_value"], rel=1e-9)
    assert found.interval.method.startswith("confidence sequence")


@pytest.mark.parametrize("case", cases("statsmodels_power.json"))
def test_the_size_for_one_look_is_that_of_statsmodels(case: dict[str, Any]) -> None:
    """Its power counts the other tail, too, which is less than one document."""
    sizes = (1_000_000, round(1_000_000 * case["ratio"]))
    found = needed_sizes(Contrast(0.0, 1.0, sizes, (case["variance"],) * 2, "t"), case["delta"], Form.FIXED)
    assert found is not None
    assert found[0] == pytest.approx(case["n_a"], rel=1e-5, abs=1.0)
    assert found[1] == pytest.approx(case["n_a"] * case["ratio"], rel=1e-5, abs=1.0)


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("sizes", [(500, 500), (100, 900), (300,)])
def test_what_needed_sizes_say_is_what_they_detect(form: Form, sizes: tuple[int, ...]) -> None:
    """With the sizes for a difference, that difference is what they show with 80 %, within a document."""
    variances = (0.2, 0.3)[: len(sizes)]
    error = math.sqrt(sum(v / n for v, n in zip(variances, sizes, strict=True)))
    needed = needed_sizes(Contrast(0.0, error, sizes, variances, "t"), 0.03, form)
    assert needed is not None
    then = math.sqrt(sum(v / n for v, n in zip(variances, needed, strict=True)))
    assert detectable(Contrast(0.0, then, needed, variances, "t"), form) == pytest.approx(0.03, rel=3e-3)
    assert needed_sizes(Contrast(0.0, 0.0, sizes, (0.0,) * len(sizes), "t"), 0.03, form) is None


def test_the_price_of_looking_every_day() -> None:
    """1.55 times the fixed interval at the number of documents that it is tuned for, as documented."""
    assert sequential_multiplier(5000) / fixed_multiplier() == pytest.approx(1.55, abs=0.01)
    assert fixed_multiplier() == pytest.approx(stats.norm.isf(ALPHA / 2), rel=1e-12)
    assert fixed_multiplier(7.5) == pytest.approx(stats.t.isf(ALPHA / 2, 7.5), rel=1e-9)


@given(
    st.floats(-5, 5),
    st.floats(1e-6, 5),
    st.integers(LEAST_SEQUENTIAL, 10**7),
    st.floats(2, 1e6) | st.just(math.inf),
    st.floats(0, 0.1),
    st.sampled_from(Form),
)
def test_p_value_and_interval_agree(
    value: float, error: float, n: int, freedom: float, slack: float, form: Form
) -> None:
    """Below 0.05 exactly where the interval excludes 0 (but for the last digits), and never above 1."""
    found = outcome(Contrast(value, error, (n, n), (1.0, 1.0), "t", freedom, slack), form)
    assert isinstance(found, Difference)
    assert 0.0 <= found.p_value <= 1.0
    if abs(found.p_value - ALPHA) > 1e-9:
        assert (found.p_value < ALPHA) == (found.interval.low > 0.0 or found.interval.high < 0.0)


@pytest.mark.parametrize(("form", "least"), [(Form.SEQUENTIAL, LEAST_SEQUENTIAL), (Form.FIXED, LEAST_FIXED)])
def test_no_test_of_few(form: Form, least: int) -> None:
    """Below the least number the reason says it; from it on there is a test."""
    for sizes in ((least - 1, 10_000), (10_000, least - 1), (least - 1,)):
        found = outcome(Contrast(1.0, 0.1, sizes, (1.0,) * len(sizes), "t"), form)
        assert isinstance(found, NoTest)
        assert f"at least {least} " in found.reason and f"found {least - 1}" in found.reason
    assert isinstance(outcome(Contrast(1.0, 0.1, (least, least), (1.0, 1.0), "t"), form), Difference)


def test_no_test_without_variance() -> None:
    for form in Form:
        assert isinstance(outcome(Contrast(1.0, 0.0, (500, 500), (0.0, 0.0), "t"), form), NoTest)


def test_a_huge_difference() -> None:
    """An e-value or a power of t beyond any double is a p-value of 0."""
    for form in Form:
        for value, error in ((1e9, 1e-9), (1e200, 1e-100), (1.0, 5e-324)):
            found = outcome(Contrast(value, error, (10**6, 10**6), (1.0, 1.0), "t", 2e6), form)
            assert isinstance(found, Difference)
            assert found.p_value == 0.0
            assert np.isfinite([found.interval.low, found.interval.high]).all()


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("delta", [1e-300, 1e-12, 1e-3, 1e12, 1e300])
def test_any_difference_to_detect(form: Form, delta: float) -> None:
    """One document, a finite number, or none that is realistic; without a variance there is no number."""
    found = needed_sizes(Contrast(0.0, 1.0, (10, 90), (0.25, 0.25), "t"), delta, form)
    assert (found is None) == (delta < 1e-6)
    assert found is None or min(found) >= 1
    assert needed_sizes(Contrast(0.0, 1.0, (10, 90), (), "t"), delta, form) is None
