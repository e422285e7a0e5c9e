"""The best constant number: its error is that of the variance, or there is none where the sums can't say it."""

from __future__ import annotations

from statistics import pvariance

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from request_logger.analytics.estimates import baselines
from scorers.regression import Regression
from tests.analytics.sums import answers_of


@settings(max_examples=40, deadline=None)
@given(
    mean=st.floats(1, 1e12),
    spread=st.sampled_from([0.0, 1e-6, 1.0, 1e3]),
    n=st.integers(2, 40),
    seed=st.integers(0, 99),
)
def test_a_baseline_is_the_variance_or_absent(mean: float, spread: float, n: int, seed: int) -> None:
    """Far from 0 the squares cancel: no baseline, as there is no R2; with the offset there is one, to 1e-9."""
    truths = np.random.default_rng(seed).normal(mean, spread, n)
    wanted = pvariance(truths.tolist())
    found = baselines(answers_of(Regression(), truths, truths + 1))
    assert found.get("mse", wanted) == pytest.approx(wanted, rel=0.01)
    assert ("mse" in found) is ("rmse" in found) is ("r2" in found)
    near = baselines(answers_of(Regression(offset=float(truths[0])), truths, truths + 1))
    if spread and len(set(truths.tolist())) == n:
        assert near["rmse"] == pytest.approx(np.sqrt(wanted), rel=1e-9)


def test_truths_of_a_billion() -> None:
    """No baseline of 0 for truths that differ by one."""
    truths = np.random.default_rng(1).normal(1e9, 1, 500)
    assert baselines(answers_of(Regression(), truths, truths)) == {}
    assert baselines(answers_of(Regression(offset=1e9), truths, truths))["mse"] == pytest.approx(truths.var())
