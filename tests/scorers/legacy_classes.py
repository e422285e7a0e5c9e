"""Classes as users of the MetricsServer wrote them, and scorers of a user's own, for the tests of choosing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np


class HitsByClass:
    """Count hits by class, and gauge the error."""

    def transform(self, truth: np.ndarray, response: np.ndarray, request: Any = None) -> SimpleNamespace:
        """Compare the first row."""
        assert isinstance(truth, np.ndarray)
        assert request is None
        name = f"CLASS.{truth[0]}"
        return SimpleNamespace(
            metrics=[
                {"key": "hits", "type": "COUNTER", "value": int(truth[0] == response[0]), "tags": {"class": name}},
                {"key": "calls", "type": "COUNTER", "value": 1},
                {"key": "calls", "type": "COUNTER", "value": 2},
                {"key": "error rate", "type": "GAUGE", "value": 0.25},
                {"key": "seconds", "type": "TIMER", "value": 12.5},
            ]
        )


class WidthOfRow:
    """Answer the shape of what came, to show how a row arrives."""

    def transform(self, truth: np.ndarray, response: np.ndarray, request: Any = None) -> SimpleNamespace:
        """Count the dimensions."""
        return SimpleNamespace(metrics=[{"key": f"shape_{'x'.join(map(str, response.shape))}", "value": 1}])


class Fails:
    """Fail as user code does."""

    def transform(self, truth: Any, response: Any, request: Any = None) -> Any:
        """Divide by zero, or answer nonsense."""
        if truth[0] == 0:
            return SimpleNamespace(metrics=None)
        if truth[0] == 1:
            return SimpleNamespace(metrics={"a": 1})
        if truth[0] == 2:
            return SimpleNamespace(metrics=[{"key": "a", "value": "x"}])
        if truth[0] == 3:
            return SimpleNamespace(metrics=[{"key": "a", "type": "HISTOGRAM", "value": 1}])
        return 1 / 0


class Plain:
    """A scorer that is no dataclass."""

    name: ClassVar[str] = "plain"
    metrics: ClassVar[tuple[Any, ...]] = ()

    def __init__(self, factor: int = 1) -> None:
        self.factor = factor

    def score(self, truth: Any, prediction: Any) -> dict[str, Any]:
        """Return the factor."""
        return {"factor": self.factor}


class NoScorer:
    """Neither score nor transform."""
