"""The interval of the expected calibration error, and how much of it is chance, against simulated documents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from request_logger.analytics.calibration import calibration_interval, expected_by_chance
from request_logger.analytics.shares import Dependence
from request_logger.scoring.registry import build
from scorers.base import Bucket, SumBy

METRICS = {metric.name: metric for metric in build("binary", {}).metrics}
ECE = METRICS["ece"]
NEED: Any = ECE.needs["bins"]


def answers(happened: Any, said: Any, bins: Any) -> dict[Any, Any]:
    assert isinstance(NEED, SumBy)
    return {
        NEED: {
            int(key): Bucket(
                int((bins == key).sum()),
                {NEED.fields[0]: float(happened[bins == key].sum()), NEED.fields[1]: float(said[bins == key].sum())},
            )
            for key in np.unique(bins)
        }
    }


def sample(generator: np.random.Generator, n: int, shift: float) -> dict[Any, Any]:
    said = generator.random(n)
    happened = generator.random(n) < np.clip(said + shift, 0, 1)
    return answers(happened, said, np.floor(said * 15))


def test_by_chance() -> None:
    """The mean ECE of models that are calibrated."""
    generator = np.random.default_rng(21)
    samples = [sample(generator, 500, 0.0) for _ in range(300)]
    observed = [ECE.compute({"bins": each[NEED]}) for each in samples]
    expected = [expected_by_chance(ECE, each) for each in samples]
    assert np.mean(expected) == pytest.approx(np.mean(observed), rel=0.05)  # type: ignore[arg-type]


@pytest.mark.parametrize("shift", [0.0, 0.15])
@pytest.mark.parametrize("n", [50, 500])
def test_coverage(n: int, shift: float) -> None:
    """At least .95 by the triangle inequality, also for the model whose true error is 0."""
    generator = np.random.default_rng(22)
    true = ECE.compute({"bins": sample(np.random.default_rng(1), 1_000_000, shift)[NEED]})
    assert isinstance(true, float)
    found = [calibration_interval(ECE, sample(generator, n, shift)) for _ in range(300)]
    # What the population's own million documents have by chance.
    slack = 0.001
    covered = [each is not None and each.low - slack <= true <= each.high + slack for each in found]
    assert np.mean(covered) > 0.92


def test_documents_that_hang_together() -> None:
    """The limit grows with the root of the design effect."""
    some = sample(np.random.default_rng(3), 2000, 0.1)
    value = ECE.compute({"bins": some[NEED]})
    alone, together = calibration_interval(ECE, some), calibration_interval(ECE, some, Dependence(4.0, 10_000))
    assert alone is not None and together is not None and isinstance(value, float)
    assert together.high - value == pytest.approx(2 * (alone.high - value), rel=0.01)


def test_other_metrics() -> None:
    """And no documents."""
    some = sample(np.random.default_rng(3), 20, 0.1)
    assert expected_by_chance(METRICS["accuracy"], some) is None
    assert expected_by_chance(METRICS["auc"], some) is None
    assert expected_by_chance(ECE, {NEED: {}}) is None
    assert calibration_interval(ECE, {NEED: {}}) is None


@pytest.mark.parametrize(
    ("count", "happened", "said", "share"), [(40, 10.0, 12.0, 0.3), (9, 9.0, 9.0, 0.95), (9, 0.0, 0.0, 0.05)]
)
def test_one_bin_by_hand(count: int, happened: float, said: float, share: float) -> None:
    """The larger variance of the two shares counts; a share of 0 or 1 has that of half a hit in one document more."""
    one = {NEED: {0: Bucket(count, dict(zip(NEED.fields, (happened, said), strict=True)))}}
    spread = np.sqrt(share * (1 - share) / count)
    mean, deviation = np.sqrt(2 / np.pi) * spread, np.sqrt(1 - 2 / np.pi) * spread
    value = abs(happened - said) / count
    found = calibration_interval(ECE, one)
    assert found is not None
    assert expected_by_chance(ECE, one) == pytest.approx(mean, rel=1e-12)
    assert (found.low, found.high) == pytest.approx((0, value + mean + 1.645 * deviation), rel=1e-3)


def test_an_ece_is_at_most_one() -> None:
    """Its limits are within what it can be."""
    worst = calibration_interval(ECE, {NEED: {0: Bucket(2, dict(zip(NEED.fields, (2.0, 0.0), strict=True)))}})
    assert worst is not None
    assert worst.high == 1
