"""The scorer for rewards: feedback that rates a prediction, without a truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scorers.base import Fields, Metric, Row, Sum, mean_of, number


@dataclass(frozen=True, slots=True)
class Reward:
    """Returns the feedback's reward as a number, for feedback without a truth.

    The reward is passed in place of the truth: ``score(Row(reward), prediction)``. True is 1, false is 0, "0.5" is 0.5.
    """

    name: ClassVar[str] = "reward"
    metrics: ClassVar[tuple[Metric, ...]] = (
        mean_of("mean_reward", "reward", bounds=(float("-inf"), float("inf"))),
        Metric("reward_sum", {"sum": Sum("reward")}, lambda v: float(v["sum"]), bounds=(float("-inf"), float("inf"))),
    )

    def score(self, truth: Row, prediction: Row | None = None) -> Fields:
        """Return the field ``reward``. Raises UnscorableError if it isn't a finite number."""
        return {"reward": number(truth.value, "reward")}
