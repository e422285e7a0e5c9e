"""Scorers of a careless user, by their dotted paths in SCORERS_CONFIG."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from scorers.base import Row


class Raising:
    """Fails for every pair."""

    name = "raising"
    metrics = ()

    def score(self, truth: Row, prediction: Row) -> dict[str, Any]:
        """Raise, as code does that meets a value it wasn't written for."""
        raise KeyError("no such column")


class OfNumpy:
    """Returns what numpy's functions give, which is no JSON."""

    name = "of-numpy"
    metrics = ()

    def score(self, truth: Row, prediction: Row) -> dict[str, Any]:
        """Return whether the greatest column is the true one, as numpy's integer."""
        return {"correct": np.int64(np.argmax(prediction.value) == truth.value)}


class OfNothing:
    """Returns nothing."""

    name = "of-nothing"
    metrics = ()

    def score(self, truth: Row, prediction: Row) -> Any:
        """Forget to return something."""


class OfAList:
    """Returns a list instead of fields."""

    name = "of-a-list"
    metrics = ()

    def score(self, truth: Row, prediction: Row) -> Any:
        """Return fields without their names."""
        return [1, 2, 3]


class OfOddTypes:
    """Returns fields of types that JSON doesn't have."""

    name = "of-odd-types"
    metrics = ()

    def score(self, truth: Row, prediction: Row) -> dict[str, Any]:
        """Return a set, a Decimal, numpy's boolean and float, and a function."""
        return {
            "set": {1, 2},
            "decimal": Decimal("1.5"),
            "boolean": np.bool_(True),
            "float": np.float32(0.5),
            "function": print,
        }
