"""What is summed here, one document after the other, is what an engine's roll-ups give of all."""

from __future__ import annotations

import pytest

from request_logger.analytics.accumulator import Accumulator
from request_logger.scoring.registry import build
from scorers.base import Row
from tests.dashboard_traffic import cases
from tests.scorers.aggregate import roll_up


@pytest.mark.parametrize("name", cases())
def test_equals_the_roll_up(name: str) -> None:
    case, scorer = cases()[name], build(name, {})
    pairs = zip(case.truths, case.predictions, strict=True)
    documents = [scorer.score(Row(truth), Row(said, case.names)) for truth, said in pairs]
    accumulator = Accumulator(scorer)
    for document in documents:
        accumulator.add(document)
    found, right = accumulator.values(), roll_up(scorer, documents)
    assert accumulator.documents == len(documents)
    assert found.keys() == right.keys()
    for metric, value in right.items():
        assert found[metric] == (value if isinstance(value, dict) else pytest.approx(value, rel=1e-12)), metric


def test_sums_are_compensated() -> None:
    """What a large value hides of a small one comes back when the large one goes."""
    accumulator = Accumulator(build("reward", {}))
    for reward in (1.0, 1e100, 1.0, -1e100):
        accumulator.add({"reward": reward})
    assert accumulator.values()["mean_reward"] == 0.5
