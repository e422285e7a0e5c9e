"""Differences of two AUCs from binned sums: their error, and what the bins lose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from request_logger.analytics import auc_contrast
from request_logger.scoring.registry import build
from tests.analytics.sums import answers_of
from tests.analytics.test_differences import at_once, contrast, limits, metric_of


@pytest.mark.parametrize(("n", "test"), [((300, 320), "DeLong"), ((100, 1000), "DeLong, one variance")])
def test_auc(n: tuple[int, int], test: str) -> None:
    """DeLong's variances of the placements, or one of both groups; wider by the error that the bins allow."""
    generator = np.random.default_rng(18)
    scorer, groups, places, slacks = build("binary", {"probabilities": True}), [], [], []
    for size in n:
        truths = (generator.random(size) < 0.4).astype(int)
        # Scores in the middle of a bin, so that the binned ranks are those of the scores.
        logits = np.floor((generator.normal(truths, 1.0) + 12) * 100 / 24)
        said = 1 / (1 + np.exp(-((logits + 0.5) * 24 / 100 - 12)))
        groups.append((truths, said))
        p, q = said[truths == 1], said[truths == 0]
        kernel = (p[:, None] > q) + (p[:, None] == q) / 2
        places.append((kernel.mean(axis=1), kernel.mean(axis=0)))
        # With bins of twice the width the error is four times as large.
        areas = [metrics.roc_auc_score(truths, (logits + start) // 2) for start in (0, 1)]
        slacks.append(max(abs(metrics.roc_auc_score(truths, said) - area) for area in areas) / 3)
    metric = metric_of(scorer, "auc")
    sums = [answers_of(scorer, *group) for group in groups]
    found = contrast(metric, *sums)
    areas = [metrics.roc_auc_score(*group) for group in groups]
    assert found.value == pytest.approx(areas[1] - areas[0], abs=1e-9)
    if test == "DeLong":
        variance = sum(x.var(ddof=1) / len(x) for group in places for x in group)
    else:
        variance = 0.0
        for side in (0, 1):
            both = [group[side] for group in places]
            pooled = sum(((x - x.mean()) ** 2).sum() for x in both) / (sum(map(len, both)) - 2)
            variance += pooled * sum(1 / len(x) for x in both)
    assert found.error == pytest.approx(np.sqrt(variance), rel=1e-9)
    # Groups of about the same size lose much the same.
    common = 0.75 * min(slacks) if test == "DeLong" else -min(slacks)
    assert found.slack == pytest.approx(max(slacks) - common, rel=1e-9)
    once = at_once(metric, *sums)
    assert once.test == test
    half = stats.norm.isf(0.025) * found.error + found.slack
    assert limits(once) == pytest.approx((found.value - half, found.value + half), rel=1e-9)
    distance = max(abs(found.value) - found.slack, 0) / found.error
    assert once.p_value == pytest.approx(2 * stats.norm.sf(distance), rel=1e-9)


@pytest.mark.parametrize("spread", [1.0, 0.5, 0.1, 0.02])
@pytest.mark.parametrize("distance", [1.0, 2.0, 3.3])
def test_the_error_of_the_bins(spread: float, distance: float) -> None:
    """However narrow the scores are, it covers what the bins lose of the AUC of the scores."""
    generator = np.random.default_rng(23)
    scorer = build("binary", {"probabilities": True})
    truths = (generator.random(4000) < 0.4).astype(int)
    said = 1 / (1 + np.exp(-spread * generator.normal(truths * distance, 1.0)))
    sums = answers_of(scorer, truths, said)
    fine, other = (
        contrast(metric_of(scorer, "auc"), sums, each).slack for each in (sums, answers_of(scorer, 1 - truths, said))
    )
    lost = metrics.roc_auc_score(truths, said) - contrast_value(scorer, sums)
    # Two areas on different sides of 1/2 are off in different directions, together by twice as much; a little noise.
    assert abs(lost) <= other / 2 + 0.001
    # Of two that are off in the same direction, the difference is off by a part of it, unless the bins are coarse.
    assert fine == pytest.approx(other / 8 if spread >= 0.5 else fine, rel=1e-9)
    assert fine <= other * (1 + 1e-9)


def contrast_value(scorer: Any, sums: Any) -> float:
    metric = metric_of(scorer, "auc")
    return float(metric.compute({key: sums[need] for key, need in metric.needs.items()}))  # type: ignore[arg-type]


@pytest.mark.parametrize(("start", "doubled"), [(0, {0: (4, 6), 1: (5, 6)}), (1, {0: (1, 2), 1: (8, 10)})])
def test_bins_of_twice_the_width(start: int, doubled: dict[int, tuple[float, float]]) -> None:
    """Two neighbours add up, whichever of them is the first."""
    assert auc_contrast._doubled({0: (1, 2), 1: (3, 4), 2: (5, 6)}, start) == doubled
