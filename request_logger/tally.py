"""The sums that an engine's roll-ups make, made here: for `metrics` that are not stored, or not yet.

It sees one document after the other and keeps sums alone, so any number of documents takes no more memory than their
classes do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from request_logger import rollups
from scorers.base import AtMost, Bucket, Count, Need, Sum, SumBy, Terms, TermsBy


class _Total:
    """A sum whose rounding errors don't add up (Neumaier's variant of Kahan's), as an engine's doesn't."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._lost = 0.0

    def add(self, value: float) -> None:
        total = self._sum + value
        if abs(self._sum) >= abs(value):
            self._lost += (self._sum - total) + value
        else:
            self._lost += (value - total) + self._sum
        self._sum = total

    @property
    def value(self) -> float:
        return self._sum + self._lost


class Tally:
    """The documents of one scorer: ``add`` each one's ``metrics``, then read ``values``."""

    def __init__(self, scorer: rollups.HasMetrics) -> None:
        self._scorer = scorer
        self._sums: dict[Need, Any] = {need: _empty(need) for need in rollups.needs_of(scorer)}
        self.documents = 0

    def add(self, metrics: Mapping[str, Any]) -> None:
        """Count one document's ``metrics``."""
        self.documents += 1
        for need, kept in self._sums.items():
            _add(need, kept, metrics)

    def values(self) -> dict[str, float | dict[str, Any]]:
        """Give the values of the scorer's metrics by name, as `rollups.compute` does."""
        return rollups.from_needs(self._scorer, {need: _value(need, kept) for need, kept in self._sums.items()})


def _empty(need: Need) -> Any:
    match need:
        case Count() | AtMost() | Terms():
            return Counter()
        case Sum():
            return _Total()
        case TermsBy() | SumBy():
            return {}


def _add(need: Need, kept: Any, metrics: Mapping[str, Any]) -> None:
    match need:
        case Count(field):
            kept[None] += len(_distinct(metrics, field)) if field else 1
        case Sum(field):
            for value in _values(metrics, field):
                kept.add(float(value))
        case AtMost(field, limit):
            kept[None] += any(value <= limit for value in _values(metrics, field))
        case Terms(field):
            kept.update(_distinct(metrics, field))
        case TermsBy(field, by):
            for outer in _distinct(metrics, by):
                kept.setdefault(outer, Counter()).update(_distinct(metrics, field))
        case SumBy(fields, by):
            for key in {int(value) for value in _values(metrics, by)}:
                count, sums = kept.setdefault(key, (Counter(), {field: _Total() for field in fields}))
                count[None] += 1
                for field, total in sums.items():
                    for value in _values(metrics, field):
                        total.add(float(value))


def _value(need: Need, kept: Any) -> Any:
    match need:
        case Count() | AtMost():
            return kept[None]
        case Sum():
            return kept.value
        case Terms():
            return dict(kept)
        case TermsBy():
            return {outer: dict(inner) for outer, inner in kept.items()}
        case SumBy():
            return {
                key: Bucket(count[None], {field: total.value for field, total in sums.items()})
                for key, (count, sums) in kept.items()
            }


def _values(metrics: Mapping[str, Any], field: str) -> list[Any]:
    value = metrics.get(field)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _distinct(metrics: Mapping[str, Any], field: str) -> set[Any]:
    """Give the distinct values: an engine counts a document once a value of text."""
    return set(_values(metrics, field))
