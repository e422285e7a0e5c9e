"""Figures of a command as gauges in Prometheus' text format, for its textfile collector or a Pushgateway."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily


@dataclass(frozen=True, slots=True)
class Gauge:
    """One gauge: its name without the prefix, its meaning, its labels, and their values with the figure of each.

    A figure that is None is left out.
    """

    name: str
    meaning: str
    labels: Sequence[str]
    samples: Iterable[tuple[Sequence[str], float | None]]


def made_at(moment: float | None = None) -> Gauge:
    """Return the gauge of the time at which figures were made (Unix time); by default now."""
    return Gauge(
        "made_at_seconds",
        "When the figures were made (Unix time).",
        (),
        [((), time.time() if moment is None else moment)],
    )


def exposition(prefix: str, common: Mapping[str, str], gauges: Iterable[Gauge]) -> str:
    """Return gauges as text; each has the labels ``common`` before its own."""
    registry = CollectorRegistry()
    registry.register(_Gauges(prefix, common, list(gauges)))
    return generate_latest(registry).decode()


class _Gauges:
    """Gauges as a collector of prometheus_client."""

    def __init__(self, prefix: str, common: Mapping[str, str], gauges: Sequence[Gauge]) -> None:
        self._prefix = prefix
        self._common = common
        self._gauges = gauges

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        for gauge in self._gauges:
            labels = [*self._common, *gauge.labels]
            family = GaugeMetricFamily(f"{self._prefix}_{gauge.name}", gauge.meaning, labels=labels)
            for values, figure in gauge.samples:
                if figure is not None:
                    family.add_metric([*self._common.values(), *values], figure)
            yield family
