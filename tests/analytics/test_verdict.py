"""Verdicts of comparisons against scipy: the tests of pairs, which of them decide, and the sample size still needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from request_logger.analytics.paired_samples import Pairs
from request_logger.analytics.verdict import ALPHA, POWER, pair_test, verdict
from request_logger.scoring.registry import build
from scorers.base import Metric

NAMES = ("old", "new")


def metric_of(scorer: str, name: str) -> Metric:
    return next(each for each in build(scorer, {}).metrics if each.name == name)


def row(difference: float, p_value: float, a: int = 100, b: int = 80) -> dict[str, Any]:
    return {"a": {"n": a}, "b": {"n": b}, "difference": difference, "p_value": p_value}


def test_pairs_of_numbers() -> None:
    """The paired t-test of scipy, and the variance of the differences."""
    generator = np.random.default_rng(21)
    a = generator.normal(3, 1, 30)
    b = a + generator.normal(0.2, 0.5, 30)
    found = pair_test(Pairs("row", tuple(a), tuple(b), cut=True), is_share=False)
    expected = stats.ttest_rel(b, a)
    limits = expected.confidence_interval()
    assert found is not None
    assert (found["pairs"], found["way"], found["cut"], found["test"]) == (30, "row", True, "paired t")
    assert found["difference"] == pytest.approx((b - a).mean(), rel=1e-12)
    assert found["variance"] == pytest.approx((b - a).var(ddof=1), rel=1e-12)
    assert found["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found["low"], found["high"]) == pytest.approx((limits.low, limits.high), rel=1e-9)
    assert "only_a" not in found


def test_pairs_of_right_and_wrong() -> None:
    """McNemar's test, which is the binomial test of the pairs where only one side is right."""
    a, b = (1, 1, 1, 0, 0, 0, 0, 0), (1, 0, 1, 1, 1, 1, 1, 0)
    found = pair_test(Pairs("request", a, b, cut=False), is_share=True)
    assert found is not None
    assert (found["only_a"], found["only_b"], found["test"]) == (1, 4, "McNemar")
    assert found["p_value"] == pytest.approx(stats.binomtest(1, 5).pvalue, rel=1e-12)
    assert found["difference"] == pytest.approx(3 / 8, rel=1e-12)


def test_one_pair_is_no_test() -> None:
    """A single difference has no variance; of two the divisor is one."""
    assert pair_test(Pairs("request", (1.0,), (2.0,), cut=False), is_share=False) is None
    two = pair_test(Pairs("request", (1.0, 1.0), (2.0, 4.0), cut=False), is_share=False)
    assert two is not None
    assert two["variance"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("scorer", "name", "difference", "better"),
    [
        ("multiclass", "accuracy", 0.1, "new"),
        ("multiclass", "accuracy", -0.1, "old"),
        ("regression", "rmse", 0.1, "old"),
        ("regression", "rmse", -0.1, "new"),
        ("regression", "mean_error", 0.1, None),
    ],
)
def test_which_is_better(scorer: str, name: str, difference: float, better: str | None) -> None:
    """By the metric's direction; a metric without one differs, and neither group is better."""
    metric = metric_of(scorer, name)
    found = verdict(NAMES, metric, row(difference, 0.01), None, 1.0)
    assert (found["metric"], found["by"], found["p_value"], found["differ"]) == (name, "groups", 0.01, True)
    assert found.get("better") == better
    assert "needed" not in found


@pytest.mark.parametrize(("p_value", "differ"), [(0.049, True), (ALPHA, False), (0.3, False)])
def test_significance(p_value: float, differ: bool) -> None:
    """Only a p-value below ALPHA."""
    metric = metric_of("multiclass", "accuracy")
    assert verdict(NAMES, metric, row(0.1, p_value), None, 0.5)["differ"] is differ


def test_no_difference_is_never_significant() -> None:
    """And no sample size detects it."""
    found = verdict(NAMES, metric_of("multiclass", "accuracy"), row(0.0, 0.0), None, 0.5)
    assert found["differ"] is False
    assert "needed" not in found


@pytest.mark.parametrize(("pairs", "by"), [(40, "pairs"), (39, "groups"), (0, "groups")])
def test_pairs_decide_from_half_of_the_smaller_group(pairs: int, by: str) -> None:
    """The p-value and the difference are those of the pairs then, else those of the groups."""
    metric = metric_of("multiclass", "accuracy")
    found = verdict(
        NAMES, metric, row(0.1, 0.01), {"pairs": pairs, "difference": -0.1, "p_value": 0.02, "variance": 1.0}, 0.5
    )
    assert (found["by"], found["p_value"], found["better"]) == (
        ("pairs", 0.02, "old") if by == "pairs" else ("groups", 0.01, "new")
    )


def test_needed_by_groups() -> None:
    """The normal approximation of the two-sample test; what is missing is counted from the smaller group."""
    metric = metric_of("multiclass", "accuracy")
    found = verdict(NAMES, metric, row(0.1, 0.3, 100, 80), None, 0.42)
    z = stats.norm.isf(ALPHA / 2) + stats.norm.ppf(POWER)
    needed = int(np.ceil(z**2 * 0.42 / 0.1**2))
    assert (found["needed"], found["more"]) == (needed, needed - 80)


def test_needed_by_pairs() -> None:
    """The variance is that of the differences, and what is missing is counted from the pairs."""
    metric = metric_of("multiclass", "accuracy")
    pairs = {"pairs": 60, "difference": 0.05, "p_value": 0.2, "variance": 0.09}
    found = verdict(NAMES, metric, row(0.1, 0.3), pairs, 0.42)
    z = stats.norm.isf(ALPHA / 2) + stats.norm.ppf(POWER)
    needed = int(np.ceil(z**2 * 0.09 / 0.05**2))
    assert (found["needed"], found["more"]) == (needed, needed - 60)


def test_more_is_at_least_one() -> None:
    """An approximation may say that there are enough, although the test does not."""
    found = verdict(NAMES, metric_of("multiclass", "accuracy"), row(0.5, 0.06, 1000, 1000), None, 0.42)
    assert found["needed"] < 1000
    assert found["more"] == 1


def test_unknown_variance() -> None:
    """Then the sample size is unknown, too; so it is for a group whose size is unknown."""
    metric = metric_of("multiclass", "accuracy")
    for variance in (None, 0.0):
        assert "needed" not in verdict(NAMES, metric, row(0.1, 0.3), None, variance)
    without_size = {"a": {}, "b": {"n": 5}, "difference": 0.1, "p_value": 0.3}
    found = verdict(NAMES, metric, without_size, None, 0.5)
    assert found["more"] == found["needed"]
