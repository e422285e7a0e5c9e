"""What the probabilities promise: scikit-learn's figures over both possible truths of each prediction, weighted."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from request_logger.analytics.feedback.cells import Cells
from request_logger.analytics.feedback.estimated import calibration_gap, estimated
from tests.analytics.feedback.made import cells_of

RNG = np.random.RandomState(11)
N = 500
P = RNG.random_sample(N)
SAID = P >= 0.4
CONFIDENCE = np.where(SAID, P, 1 - P)


def cells(truth: list[str | None]) -> Cells:
    return cells_of(np.where(SAID, "yes", "no").tolist(), truth, (P * 10).astype(int).tolist(), CONFIDENCE)


def test_binary_figures() -> None:
    found = estimated(cells([None] * N), "yes")
    truth, said = np.repeat([True, False], N), np.concatenate([SAID, SAID])
    weights = np.concatenate([P, 1 - P])
    oracles = {
        "accuracy": sk.accuracy_score, "precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score,
    }  # fmt: skip
    assert found == pytest.approx(
        {f"estimated_{name}": score(truth, said, sample_weight=weights) for name, score in oracles.items()}, rel=1e-12
    )


def test_the_answers_of_nannyml() -> None:
    """CBPE of nannyml 0.13.1 with needs_calibration = False, over these predictions as one chunk."""
    p = np.round(np.random.RandomState(8).random_sample(1000) ** 1.5, 3)
    said = p >= 0.5
    labels = np.where(said, "yes", "no").tolist()
    made = cells_of(labels, [None] * 1000, (p * 10).astype(int).tolist(), np.where(said, p, 1 - p))
    assert estimated(made, "yes") == pytest.approx(
        {
            "estimated_accuracy": 0.771491,
            "estimated_precision": 0.7360516304347826,
            "estimated_recall": 0.6733914574026147,
            "estimated_f1": 0.7033286897771223,
        },
        rel=1e-12,
    )


def test_without_a_positive_class() -> None:
    assert estimated(cells([None] * N)) == pytest.approx({"estimated_accuracy": CONFIDENCE.mean()}, rel=1e-12)


def test_a_prediction_without_a_probability() -> None:
    """The figure would be over a part of the predictions."""
    made = cells_of(["yes"] * 2, [None] * 2, [1, 1], [0.5, 0.5])
    (cell,) = made.cells
    partly = Cells([type(cell)(cell.label, cell.bin, 3, {}, cell.confidence)], made.bins)
    assert estimated(partly) == {}


def test_calibration_gap() -> None:
    truth = [("yes" if RNG.random_sample() < 0.5 else "no") if k < 50 else None for k in range(N)]
    hits = np.mean([(truth[k] == "yes") == SAID[k] for k in range(50)])
    assert calibration_gap(cells(truth)) == pytest.approx(CONFIDENCE[:50].mean() - hits, abs=1e-12)
    assert calibration_gap(cells([None] * N)) is None
