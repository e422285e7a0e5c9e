"""What metrics say of themselves: perfect predictions are at the better end of the bounds, wrong ones are worse."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from request_logger.scoring.registry import build, registered, scorer_class
from scorers.base import Row
from tests.scorers.aggregate import metrics_of

# Truths, perfect predictions of them, and wrong ones.
CASES: dict[str, tuple[list[Any], list[Any], list[Any]]] = {
    "binary": ([0, 1, 1], [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [[0.4, 0.6], [0.7, 0.3], [0.2, 0.8]]),
    "multiclass": (
        list(range(6)),
        [[float(row == column) for column in range(6)] for row in range(6)],
        # The truth is the last that is thought of.
        [[0.0 if row == column else 0.2 for column in range(6)] for row in range(6)],
    ),
    "multilabel": (
        [[1, 0, 1], [0, 1, 0]],
        [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]],
        [[0.4, 0.6, 0.9], [0.3, 0.2, 0.6]],
    ),
    "ordinal": (
        [0, 1, 2],
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]],
    ),
    "ranking": (
        [["a", "b"], ["c", "d"]],
        [["a", "b"], ["c", "d"]],
        [[*"uvwxyzstrq", "a", "b"], [*"uvwxyzstrq", "d", "e"]],
    ),
    "regression": ([1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [2.5, 1.0, 9.0]),
    "text": (["a b c", "d"], ["a b c", "d"], ["a x", "e f"]),
}
INDIFFERENT = {"baseline_accuracy", "per_class", "confusion_matrix", "labels_per_document", "mean_error"}
# The width of the bins decides, not the predictions.
OF_THE_DATA = {"auc_bound"}
# A reward has no truth, and so no perfect prediction.
UNBOUNDED = {"reward"}


def rolled_up(name: str, predictions: list[Any]) -> dict[str, Any]:
    truths = CASES[name][0]
    return metrics_of(build(name, {}), [(Row(y), Row(p)) for y, p in zip(truths, predictions, strict=True)])


def test_every_scorer_is_compared() -> None:
    """A new one needs a case."""
    assert CASES.keys() | UNBOUNDED == set(registered())


@pytest.mark.parametrize("name", CASES)
def test_perfect_predictions_are_better(name: str) -> None:
    """A perfect prediction has the best value there is, and a wrong one a worse one."""
    perfect, wrong = (rolled_up(name, predictions) for predictions in CASES[name][1:])
    metrics = scorer_class(name).metrics
    assert {metric.name for metric in metrics if metric.higher_is_better is None} == INDIFFERENT & {
        metric.name for metric in metrics
    }
    for metric in metrics:
        if metric.name in INDIFFERENT | OF_THE_DATA:
            continue
        low, high = metric.bounds
        best = high if metric.higher_is_better else low
        assert perfect[metric.name] == pytest.approx(best, abs=1e-12), metric.name
        assert low <= wrong[metric.name] <= high, metric.name
        assert wrong[metric.name] != best, metric.name


def test_rewards_add_up() -> None:
    """More is better, without an end."""
    bounds = {metric.name: (metric.higher_is_better, metric.bounds) for metric in scorer_class("reward").metrics}
    assert bounds == dict(itertools.product(("mean_reward", "reward_sum"), [(True, (float("-inf"), float("inf")))]))
