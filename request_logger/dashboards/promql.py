"""Queries over the program's own metrics, in PromQL: their names, labels and label values are checked by definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from request_logger.telemetry_types import CounterDefinition, Definition, GaugeDefinition, HistogramDefinition


@dataclass(frozen=True, slots=True)
class Queries:
    """Queries that share matchers (``everywhere``, such as ``job="logger"``) and the window of rates.

    The keyword arguments of its methods select label values: ``outcome="bad"``, or one of several
    ``outcome="bad|late"``. All raise ValueError for a label or a value that the metric doesn't have.
    """

    window: str
    everywhere: str = ""

    def rate(self, counter: CounterDefinition, by: tuple[str, ...] = (), **where: str) -> str:
        """Return a counter's increase per second."""
        return f"{_sum(by)} (rate({self._ranged(counter, '_total', **where)}))"

    def increase(self, counter: CounterDefinition, by: tuple[str, ...] = (), **where: str) -> str:
        """Return a counter's increase within the window."""
        return f"{_sum(by)} (increase({self._ranged(counter, '_total', **where)}))"

    def quantile(self, share: float, histogram: HistogramDefinition, by: tuple[str, ...] = (), **where: str) -> str:
        """Return a quantile of a histogram's observations within the window."""
        return f"histogram_quantile({share}, {_sum(('le', *by))} (rate({self._ranged(histogram, '_bucket', **where)})))"

    def mean(self, histogram: HistogramDefinition, **where: str) -> str:
        """Return the mean of a histogram's observations within the window."""
        added, counted = (self._ranged(histogram, suffix, **where) for suffix in ("_sum", "_count"))
        return f"sum (rate({added})) / sum (rate({counted}))"

    def count(self, histogram: HistogramDefinition, **where: str) -> str:
        """Return the number of a histogram's observations per second."""
        return f"sum (rate({self._ranged(histogram, '_count', **where)}))"

    def total(self, gauge: GaugeDefinition, by: tuple[str, ...] = (), **where: str) -> str:
        """Return the sum of a gauge."""
        return f"{_sum(by)} ({self.series(gauge, **where)})"

    def highest(self, gauge: GaugeDefinition, by: tuple[str, ...] = (), **where: str) -> str:
        """Return the highest value of a gauge."""
        return f"max{_by(by)} ({self.series(gauge, **where)})"

    def series(self, definition: Definition, suffix: str = "", /, **where: str) -> str:
        """Return the selector of a metric's series."""
        matchers = [self.everywhere] if self.everywhere else []
        for label, values in where.items():
            _check(definition, label, values)
            matchers.append(f'{label}=~"{values}"' if "|" in values else f'{label}="{values}"')
        chosen = f"{{{','.join(matchers)}}}" if matchers else ""
        return f"{definition.name}{suffix}{chosen}"

    def _ranged(self, definition: Definition, suffix: str, **where: str) -> str:
        return f"{self.series(definition, suffix, **where)}[{self.window}]"


def _check(definition: Definition, label: str, values: str) -> None:
    if label not in definition.labels:
        raise ValueError(f"{definition.name} has no label {label}: expected one of {', '.join(definition.labels)}")
    known = definition.labels[label]
    if isinstance(known, Mapping):
        for value in values.split("|"):
            if value not in known:
                raise ValueError(f"{definition.name}: {label} is never {value}: expected {', '.join(known)}")


def _sum(by: tuple[str, ...]) -> str:
    return f"sum{_by(by)}"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""
