"""The types of Prometheus metrics, as definitions: what a metric is called, counts, and means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Unit = Literal[
    "events",
    "bodies",
    "bytes",
    "seconds",
    "documents",
    "requests",
    "lookups",
    "records",
    "partitions",
    "processes",
    "0/1",
]
GaugeMode = Literal["all", "livesum", "livemax", "livemostrecent"]
"""How the gauges of several workers are combined: see prometheus_client's multiprocess mode."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """The definition of a metric; its subclasses are the metric types."""

    kind: ClassVar[str]

    name: str
    """The base name: Prometheus appends ``_total`` to counters and ``_bucket``, ``_sum``, ``_count`` to histograms."""
    unit: Unit
    meaning: str
    """One sentence, also the metric's HELP text. Without markup."""
    remedy: str = ""
    """What the operator should do, and when. Empty where the metric is for information."""
    labels: Mapping[str, Mapping[str, str] | str] = field(default_factory=dict)
    """By label name: the meaning of each value, or one text where the values are open."""


@dataclass(frozen=True, kw_only=True)
class CounterDefinition(Definition):
    """A number that only rises."""

    kind: ClassVar[str] = "counter"

    def create(self, registry: CollectorRegistry) -> Counter:
        """Create the counter. Raises ValueError where the registry has its name."""
        counter = Counter(self.name, self.meaning, tuple(self.labels), registry=registry)
        for value in self._first_values():
            counter.labels(value)
        return counter

    def _first_values(self) -> Iterable[str]:
        """Return the values to expose from the start: an alert on an increase misses one from nothing to 1."""
        values, *others = self.labels.values() or ("",)
        return () if others or isinstance(values, str) else values


@dataclass(frozen=True, kw_only=True)
class GaugeDefinition(Definition):
    """A number that rises and falls."""

    kind: ClassVar[str] = "gauge"
    mode: GaugeMode = "all"

    def create(self, registry: CollectorRegistry) -> Gauge:
        """Create the gauge. Raises ValueError where the registry has its name."""
        return Gauge(self.name, self.meaning, tuple(self.labels), registry=registry, multiprocess_mode=self.mode)


@dataclass(frozen=True, kw_only=True)
class HistogramDefinition(Definition):
    """Observations, counted by their size."""

    kind: ClassVar[str] = "histogram"
    # Prometheus' own default, which suits seconds.
    buckets: tuple[float, ...] = Histogram.DEFAULT_BUCKETS

    def create(self, registry: CollectorRegistry) -> Histogram:
        """Create the histogram. Raises ValueError where the registry has its name."""
        return Histogram(self.name, self.meaning, tuple(self.labels), registry=registry, buckets=self.buckets)
