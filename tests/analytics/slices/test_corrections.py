"""The correction for many slices, and shrunk effects, against scipy and by definition."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from request_logger.analytics.corrections import benjamini_hochberg, holm
from request_logger.analytics.slices.shrinkage import Shrinkage


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_adjusted_p_values(p_values: list[float]) -> None:
    """As those of scipy, in the same order."""
    assert benjamini_hochberg(p_values) == pytest.approx(list(stats.false_discovery_control(p_values)), abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_adjusted_p_values_of_holm(p_values: list[float]) -> None:
    """Those of the closed test of Bonferroni's: the largest over all sets of hypotheses that have this one."""
    sets = [each for size in range(1, len(p_values) + 1) for each in combinations(range(len(p_values)), size)]
    bonferroni = {each: min(len(each) * min(p_values[k] for k in each), 1.0) for each in sets}
    closed = [max(p for each, p in bonferroni.items() if k in each) for k in range(len(p_values))]
    assert holm(p_values) == pytest.approx(closed, abs=1e-12)


def test_holm_as_r_has_it() -> None:
    """p.adjust(c(0.04, 0.01, 0.03, 0.02), "holm")."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_no_p_values() -> None:
    assert benjamini_hochberg([]) == []
    assert holm([]) == []


def test_shrinkage() -> None:
    """The variance of true effects is recovered, and shrunk effects are nearer to the true ones."""
    generator = np.random.default_rng(3)
    true = generator.normal(0, 0.05, 4000)
    errors = generator.uniform(0.02, 0.1, 4000)
    seen = true + generator.normal(0, errors)
    found = Shrinkage.of(seen.tolist(), errors.tolist())
    weights = errors**-2
    assert found.variance == pytest.approx(((weights * seen**2).sum() - 4000) / weights.sum(), rel=1e-9)
    assert found.variance == pytest.approx(0.05**2, rel=0.15)
    shrunk = np.array([found.shrunk(*pair) for pair in zip(seen.tolist(), errors.tolist(), strict=True)])
    assert ((shrunk - true) ** 2).mean() < 0.7 * ((seen - true) ** 2).mean()


def test_shrinkage_by_hand() -> None:
    """Two effects with the weight 4: (4 x 1 + 4 x 4 - 2) / 8; and the mean of the true effect."""
    assert Shrinkage.of([1.0, -2.0], [0.5, 0.5]).variance == pytest.approx(2.25, rel=1e-12)
    assert Shrinkage(4.0).shrunk(3.0, 1.0) == pytest.approx(2.4, rel=1e-12)
    assert Shrinkage(4.0).shrunk(-3.0, 2.0) == pytest.approx(-1.5, rel=1e-12)


def test_nothing_but_noise_is_shrunk_to_nothing() -> None:
    assert Shrinkage.of([0.01, -0.01], [0.1, 0.1]).shrunk(0.3, 0.1) == 0.0
    assert Shrinkage.of([], []).variance == 0.0
