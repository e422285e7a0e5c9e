"""Reward: a number, whatever it came as."""

from __future__ import annotations

import pytest

from scorers.base import Row, UnscorableError
from scorers.reward import Reward
from tests.scorers.aggregate import metrics_of


@pytest.mark.parametrize(
    ("reward", "number"), [(1, 1.0), (True, 1.0), (False, 0.0), ("0.5", 0.5), (-3.5, -3.5), ([2], 2.0)]
)
def test_reward(reward: object, number: float) -> None:
    """Booleans, text and numbers are all one kind of number in the document."""
    fields = Reward().score(Row(reward), Row(None))
    assert fields == {"reward": number}
    assert isinstance(fields["reward"], float)


@pytest.mark.parametrize("reward", [None, "good", float("nan"), {}, [1, 2], 10**400])
def test_unscorable(reward: object) -> None:
    """Only finite numbers add up."""
    with pytest.raises(UnscorableError, match="reward"):
        Reward().score(Row(reward))


def test_roll_up() -> None:
    """The mean, and the sum that Seldon users know."""
    found = metrics_of(Reward(), [(Row(value), Row(None)) for value in (True, 0, 0.5)])
    assert found == {"mean_reward": 0.5, "reward_sum": 1.5}
    assert metrics_of(Reward(), []) == {"reward_sum": 0.0}
