"""Computes a scorer's roll-up values in this process, from ``metrics`` that are not stored (yet).

It keeps only sums, so memory depends on the number of classes and not on the number of documents.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from request_logger.analytics import rollups
from scorers.base import AtMost, Bucket, Count, Having, Need, Sum, SumBy, Terms, TermsBy


class _Total:
    """A compensated sum (Neumaier's variant of Kahan's), as exact as the search engine's own."""

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


class Accumulator:
    """Accumulates the ``metrics`` of one scorer's documents: ``add`` each, then read ``values``. Not thread-safe."""

    def __init__(self, scorer: rollups.HasMetrics) -> None:
        self._scorer = scorer
        self._sums: dict[Need, Any] = {need: _empty(need) for need in rollups.needs_of(scorer)}
        self._adders = [_adder(need, kept) for need, kept in self._sums.items()]
        self.documents = 0

    def add(self, metrics: Mapping[str, Any]) -> None:
        """Add one document's ``metrics``."""
        self.documents += 1
        for add in self._adders:
            add(metrics)

    def values(self) -> dict[str, float | dict[str, Any]]:
        """Return the values of the scorer's metrics by name, equal to `rollups.compute` over the same documents."""
        return rollups.from_needs(self._scorer, {need: _value(need, kept) for need, kept in self._sums.items()})


def _empty(need: Need) -> Any:
    match need:
        case Count() | AtMost() | Having() | Terms():
            return Counter()
        case Sum():
            return _Total()
        case TermsBy() | SumBy():
            return {}


def _adder(need: Need, kept: Any) -> Callable[[Mapping[str, Any]], None]:
    """Return the function that adds one document's ``metrics`` to a need; the need's type is matched only once."""
    match need:
        case Count(field):
            return functools.partial(_count, kept, field)
        case Sum(field):
            return functools.partial(_sum, kept, field)
        case AtMost(field, limit):
            return functools.partial(_at_most, kept, field, limit)
        case Having(field, value):
            return functools.partial(_having, kept, field, value)
        case Terms(field):
            return functools.partial(_terms, kept, field)
        case TermsBy(field, by):
            return functools.partial(_terms_by, kept, field, by)
        case SumBy(fields, by):
            return functools.partial(_sum_by, kept, fields, by)


def _count(kept: Counter[None], field: str | None, metrics: Mapping[str, Any]) -> None:
    if field is None:
        kept[None] += 1
    elif (value := metrics.get(field)) is not None:
        kept[None] += len(set(value)) if isinstance(value, list) else 1


def _sum(kept: _Total, field: str, metrics: Mapping[str, Any]) -> None:
    for value in _values(metrics, field):
        kept.add(float(value))


def _at_most(kept: Counter[None], field: str, limit: float, metrics: Mapping[str, Any]) -> None:
    kept[None] += any(value <= limit for value in _values(metrics, field))


def _having(kept: Counter[None], field: str, value: str, metrics: Mapping[str, Any]) -> None:
    kept[None] += value in _values(metrics, field)


def _terms(kept: Counter[str], field: str, metrics: Mapping[str, Any]) -> None:
    for value in _distinct(metrics, field):
        kept[value] += 1


def _terms_by(kept: dict[str, Counter[str]], field: str, by: str, metrics: Mapping[str, Any]) -> None:
    for outer in _distinct(metrics, by):
        _terms(kept.setdefault(outer, Counter()), field, metrics)


def _sum_by(
    kept: dict[int, tuple[Counter[None], dict[str, _Total]]],
    fields: tuple[str, ...],
    by: str,
    metrics: Mapping[str, Any],
) -> None:
    for key in {int(value) for value in _values(metrics, by)}:
        if key not in kept:
            kept[key] = Counter(), {field: _Total() for field in fields}
        count, sums = kept[key]
        count[None] += 1
        for field, total in sums.items():
            _sum(total, field, metrics)


def _value(need: Need, kept: Any) -> Any:
    match need:
        case Count() | AtMost() | Having():
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


def _values(metrics: Mapping[str, Any], field: str) -> Sequence[Any]:
    value = metrics.get(field)
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


def _distinct(metrics: Mapping[str, Any], field: str) -> Collection[Any]:
    """Return the distinct values: a terms aggregation counts a document once per distinct value."""
    found = _values(metrics, field)
    return set(found) if len(found) > 1 else found
