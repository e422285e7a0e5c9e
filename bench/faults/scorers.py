"""Faulty user scorers, for SCORERS_CONFIG by their dotted paths."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from scorers.base import Row


class Raising:
    """Raises for every pair."""

    name = "raising"
    metrics = ()

    def score(self, truth: Row, prediction: Row) -> dict[str, Any]:
        """Raise, like code that gets an unexpected value."""
        raise KeyError("no such column")


class OfNumpy:
    """Returns numpy values, which are not JSON."""

    name = "of-numpy"
    metrics = ()

    def score(self, truth: Row, prediction: Row) -> dict[str, Any]:
        """Return whether the greatest column is the true one, as a numpy integer."""
        return {"correct": np.int64(np.argmax(prediction.value) == truth.value)}


class OfNothing:
    """Returns nothing."""

    name = "of-nothing"
    metrics = ()

    def score(self, truth: Row, prediction: Row) -> Any:
        """Return nothing."""


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
