"""PPI++: the answers of ppi-python to the same predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from request_logger.analytics.feedback.audit import LEAST_AUDITED, powered_accuracy
from request_logger.analytics.feedback.prediction_powered import prediction_powered
from request_logger.analytics.intervals import LEVEL, NoInterval, z_of
from tests.analytics.feedback.made import Values, cells_of, sums


def pairs(seed: int, n: int, others: int, honest: float) -> tuple[Values, Values, Values]:
    """Whether n predictions are correct, their probabilities, and those of others: RandomState never changes."""
    state = np.random.RandomState(seed)
    f = np.round(0.5 + state.random_sample(n + others) / 2, 3)
    chance = np.where(state.random_sample(n + others) < honest, f, state.random_sample(n + others))
    return (state.random_sample(n + others) < chance)[:n], f[:n], f[n:]


# (seed, n, others, honest) -> value, low, high of ppi_mean_pointestimate(y, f, others) and ppi_mean_ci(..., alpha=0.05)
# of ppi-python 0.2.3, y as floats.
ANSWERS: dict[tuple[int, int, int, float], tuple[float, float, float]] = {
    (1, 60, 900, 1.0): (0.835613767745739, 0.7414846974341491, 0.9297428380573289),
    (2, 400, 5000, 0.9): (0.715300937826476, 0.671906067903187, 0.758695807749765),
    (3, 50, 70, 0.5): (0.6216342723117845, 0.48725538632817944, 0.7560131582953895),
    (4, 200, 2000, 0.0): (0.4914568637332597, 0.42237911251024857, 0.5605346149562709),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_it_is_that_of_ppi_python(case: Any) -> None:
    correct, f, others = pairs(*case)
    found = prediction_powered(sums(f), sums(f[correct]), sums(others))
    assert found is not None
    half = z_of(LEVEL) * found.error
    assert (found.value, found.value - half, found.value + half) == pytest.approx(ANSWERS[case], rel=1e-9)
    assert 0 <= found.power <= 1


def test_equal_probabilities_say_nothing() -> None:
    """The figure is that of the labels alone, with their error."""
    correct = np.arange(40) < 30
    found = prediction_powered(sums(np.full(40, 0.7)), sums(np.full(30, 0.7)), sums(np.full(900, 0.7)))
    assert found is not None
    assert (found.value, found.power) == (pytest.approx(0.75), 0.0)
    assert found.error == pytest.approx(correct.std() / np.sqrt(40))
    interval = found.interval(40)
    assert interval is not None and interval.low < 0.75 < interval.high


def test_all_correct() -> None:
    """The interval isn't a point, and doesn't leave the scale."""
    found = prediction_powered(sums(np.full(40, 0.9)), sums(np.full(40, 0.9)), sums(np.full(900, 0.9)))
    assert found is not None
    interval = found.interval(40)
    assert interval is not None
    assert interval.low < 0.95 and interval.high == 1.0


@pytest.mark.parametrize(("n", "others"), [(1, 5), (5, 1), (0, 0)])
def test_too_few(n: int, others: int) -> None:
    assert prediction_powered(sums(np.full(n, 0.5)), sums(np.full(n, 0.5)), sums(np.full(others, 0.5))) is None


def test_of_cells() -> None:
    """The others are all predictions but the audited ones with a truth; an interval only where one is known."""
    state = np.random.RandomState(2)
    said = ["yes"] * 200
    f = np.round(0.5 + state.random_sample(200) / 2, 3)
    truth = ["yes" if state.random_sample() < p else "no" for p in f]
    everything = cells_of(said, [None] * 200, [1] * 200, f)
    audited = cells_of(said[:50], truth[:50], [1] * 50, f[:50])
    found = powered_accuracy(audited, everything)
    correct = np.array(truth[:50]) == "yes"
    oracle = prediction_powered(sums(f[:50]), sums(f[:50][correct]), sums(f[50:]))
    assert found is not None and oracle is not None
    assert (found["n"], found["others"]) == (50, 150)
    assert (found["value"], found["power"]) == pytest.approx((oracle.value, oracle.power), rel=1e-9)
    assert found["low"] < found["value"] < found["high"]
    without = powered_accuracy(audited, everything, NoInterval.NOT_SPLIT)
    assert without is not None and "low" not in without
    few = cells_of(
        said[: LEAST_AUDITED - 1], truth[: LEAST_AUDITED - 1], [1] * (LEAST_AUDITED - 1), f[: LEAST_AUDITED - 1]
    )
    assert powered_accuracy(few, everything) is None
