"""A scorer that fails in every way that user code can: by the pair, so that every replica sees the same."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import numpy as np

from request_logger.scoring.rules import Chooser
from scorers.base import Metric, Row

_RETURNS: tuple[Any, ...] = (
    None, [], 7, {"correct": np.int64(1)}, {"correct": {1, 2}}, {"error": Decimal("1.5")}, {"correct": float("nan")},
    {1: 2}, {"correct": 10**400}, {"a": {"b": np.float32(2)}}, {"correct": 1},
)  # fmt: skip


class Failing:
    """Raises or returns what no scorer should; which of it depends on the pair."""

    name: ClassVar[str] = "failing"
    metrics: ClassVar[tuple[Metric, ...]] = ()

    def score(self, truth: Row, prediction: Row) -> Any:
        number = sum(map(ord, repr((truth.value, prediction.value))))
        if number % 3 == 0:
            raise (ValueError, RecursionError, SystemExit)[number % 9 // 3]("simulated")
        return _RETURNS[number % len(_RETURNS)]


class Choice(Chooser):
    """Chooses the failing scorer for deployment ``c``, for all others as the program does."""

    def choose(
        self, namespace: str, deployment: str, predictor: str, model: str, truth: Row | None, prediction: Row | None
    ) -> Any:
        if deployment == "c":
            return Failing()
        return super().choose(namespace, deployment, predictor, model, truth, prediction)
