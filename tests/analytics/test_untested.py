"""Where a difference is not tested, and why: few documents, no variance, rare classes, questions asked twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from request_logger.analytics.contrasts import Difference, Form, NoTest, outcome
from request_logger.analytics.differences import contrasts, same_questions
from request_logger.analytics.rollups import Moments, MomentSums
from request_logger.analytics.tasks import MEAN_REWARD
from request_logger.scoring.registry import build
from scorers.base import Count, Sum
from tests.analytics.sums import answers_of
from tests.analytics.test_differences import contrast, metric_of


def test_no_auc_of_a_rare_class() -> None:
    """Fewer than five positives have no variance to speak of."""
    scorer = build("binary", {"probabilities": True})
    truths = np.repeat([1, 0], (4, 96))
    sums = answers_of(scorer, truths, np.random.default_rng(19).random(100))
    assert isinstance(contrasts([metric_of(scorer, "auc")], sums, sums)["auc"], NoTest)


@pytest.mark.parametrize(
    ("a", "b"), [((5.0, 5.0), (4.0, 4.0)), ((5.0,) * 200, (4.0,) * 200), ((5.0,) * 40, (4.0, 3.0) * 20)]
)
def test_no_test_without_variance(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    """Values that are all the same tell nothing of what the next will be."""
    metric = MEAN_REWARD
    sums = [moments(values) for values in (a, b)]
    for form in Form:
        found = contrasts([metric], *sums)[metric.name]
        assert isinstance(found if isinstance(found, NoTest) else outcome(found, form), NoTest)


@given(st.integers(2, 29), st.integers(2, 29), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_no_test_of_few_values(n_a: int, n_b: int, seed: int) -> None:
    """Whatever they are."""
    generator = np.random.default_rng(seed)
    sums = [moments(generator.normal(5, 1, n).tolist()) for n in (n_a, n_b)]
    found = contrasts([MEAN_REWARD], *sums)[MEAN_REWARD.name]
    for form in Form:
        assert isinstance(found if isinstance(found, NoTest) else outcome(found, form), NoTest)


def moments(values: Any) -> dict[Any, Any]:
    x = np.array(values)
    sums = MomentSums(len(x), float(x.sum()), float((x * x).sum()), float(x.min()), float(x.max()))
    return {Moments("reward"): sums, Sum("reward"): sums.total, Count("reward"): sums.n}


def test_values_whose_spread_rounding_has_eaten() -> None:
    """Or that exceeds a double."""
    for scale in (1.0, 1e9, 1e200):
        with np.errstate(over="ignore"):
            sums = moments(1e9 * scale + scale * np.random.default_rng(20).normal(0, 1, 100))
        found = contrasts([MEAN_REWARD], sums, sums)[MEAN_REWARD.name]
        assert isinstance(found, NoTest)
        assert "spread" in found.reason


def test_one_question_one_test() -> None:
    """With one class a document, micro averages are the accuracy; RMSE falls with MSE. The deciding one is tested."""
    scorer = build("multiclass", {})
    names = [metric.name for metric in scorer.metrics]
    found = same_questions(names, "accuracy")
    assert found["f1_micro"] == found["recall_weighted"] == "accuracy" and found["recall_macro"] == "balanced_accuracy"
    assert same_questions(names, "f1_micro")["accuracy"] == "f1_micro"
    assert same_questions(["f1_micro", "f1_macro", "subset_accuracy"], "f1_micro") == {}
    assert same_questions(["mse", "rmse", "mae"], "mae") == {"rmse": "mse"}
    generator = np.random.default_rng(22)
    truths = generator.integers(0, 3, 400)
    sums = [answers_of(scorer, truths, np.where(generator.random(400) < s, truths, 0)) for s in (0.5, 0.6)]
    for metric in scorer.metrics:
        if metric.name in found and metric.name not in ("specificity_micro", "top_1_accuracy"):
            mine, other = (
                [m.compute({k: each[need] for k, need in m.needs.items()}) for each in sums]
                for m in (metric, metric_of(scorer, found[metric.name]))
            )
            assert mine == pytest.approx(other, abs=1e-12)


@pytest.mark.parametrize(("positives", "waits"), [(4, True), (5, False)])
@pytest.mark.parametrize("name", ["f1", "balanced_accuracy"])
def test_daily_looks_wait_for_a_rare_class(name: str, positives: int, waits: bool) -> None:
    """A metric that rests on a few documents has no error to speak of."""
    scorer, groups = build("binary", {}), []
    for n in (positives, 50):
        truths = np.repeat([1, 0], (n, 200))
        said = truths.copy()
        said[[0, -1]] = 1 - said[[0, -1]]
        groups.append(answers_of(scorer, truths, said))
    found = outcome(contrast(metric_of(scorer, name), *groups), Form.SEQUENTIAL)
    assert isinstance(found, NoTest if waits else Difference)
