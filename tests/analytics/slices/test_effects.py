"""The effect of a slice against the rest, against scipy on the values themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from request_logger.analytics.rollups import MomentSums
from request_logger.analytics.slices.effects import Measure, effect_of, interval_of, rest_of

RNG = np.random.default_rng(5)
SHARE = Measure("accuracy", "correct", -1, is_share=True)
LOSS = Measure("log_loss", "log_loss", 1)


def sums(values: Any) -> MomentSums:
    extremes = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    return MomentSums(len(values), float(values.sum()), float((values**2).sum()), *extremes)


def test_share() -> None:
    """The chi-squared test of two shares; less accuracy is worse."""
    correct = (RNG.random(2000) < 0.8).astype(float)
    inside = RNG.random(2000) < 0.2
    found = effect_of(sums(correct[inside]), rest_of(sums(correct), sums(correct[inside])), SHARE)
    assert found is not None
    table = [[correct[part].sum(), len(correct[part]) - correct[part].sum()] for part in (inside, ~inside)]
    assert found.p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-9)
    assert found.worse == pytest.approx(correct[~inside].mean() - correct[inside].mean(), abs=1e-12)
    assert found.worse / found.error == pytest.approx(
        np.sign(found.worse) * np.sqrt(stats.chi2_contingency(table, correction=False).statistic), rel=1e-9
    )


def test_share_of_documents_that_belong_together() -> None:
    """The error grows with the root of the design effect; the test is that of as many fewer documents."""
    part, rest = MomentSums(400, 280.0, 280.0, 0.0, 1.0), MomentSums(1600, 1280.0, 1280.0, 0.0, 1.0)
    found = effect_of(part, rest, SHARE)
    together = effect_of(part, rest, Measure("accuracy", "correct", -1, is_share=True, effect=4.0))
    assert found is not None and together is not None
    assert (together.worse, together.error) == pytest.approx((found.worse, 2 * found.error), rel=1e-12)
    fewer = stats.chi2_contingency([[70, 30], [320, 80]], correction=False)
    assert together.p_value == pytest.approx(fewer.pvalue, rel=1e-9)


def test_rare_share() -> None:
    """Fisher's exact test where few errors are expected; none where documents belong together."""
    correct = np.ones(400)
    correct[[1, 2, 30]] = 0
    inside = np.arange(400) < 40
    part, rest = sums(correct[inside]), rest_of(sums(correct), sums(correct[inside]))
    found = effect_of(part, rest, SHARE)
    assert found is not None
    expected = stats.fisher_exact([[37, 3], [360, 0]]).pvalue
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    together = effect_of(part, rest, Measure("accuracy", "correct", -1, is_share=True, effect=3.0))
    assert together is not None and together.p_value == 1.0


def test_mean() -> None:
    """Welch's t test and its interval."""
    losses = RNG.gamma(2, 1, 1500)
    inside = RNG.random(1500) < 0.5
    losses[inside] += 0.1
    part, rest = sums(losses[inside]), rest_of(sums(losses), sums(losses[inside]))
    found = effect_of(part, rest, LOSS)
    assert found is not None
    test = stats.ttest_ind(losses[inside], losses[~inside], equal_var=False)
    assert found.p_value == pytest.approx(test.pvalue, rel=1e-9)
    limits = test.confidence_interval()
    assert interval_of(part, rest, LOSS) == pytest.approx((limits.low, limits.high), rel=1e-9)
    wide = interval_of(part, rest, Measure("log_loss", "log_loss", 1, effect=4.0))
    assert wide is not None
    assert wide[1] - wide[0] == pytest.approx(2 * (limits.high - limits.low), rel=1e-3)


def test_interval_of_a_share_says_how_much_worse() -> None:
    """It is negative where the slice is better."""
    correct = np.repeat([1.0, 0.0, 1.0, 0.0], [90, 10, 150, 50])
    inside = np.arange(300) < 100
    interval = interval_of(sums(correct[inside]), rest_of(sums(correct), sums(correct[inside])), SHARE)
    assert interval is not None
    assert interval[0] < -0.15 < interval[1] < 0


@pytest.mark.parametrize(("values", "measure"), [(np.ones(100), SHARE), (np.full(100, 0.3), LOSS)])
def test_equal_values_are_not_tested(values: Any, measure: Measure) -> None:
    inside = np.arange(100) < 40
    assert effect_of(sums(values[inside]), rest_of(sums(values), sums(values[inside])), measure) is None
    assert effect_of(sums(values), rest_of(sums(values), sums(values)), measure) is None
