"""Counts the requests that Flask doesn't see in the metrics that Flask's exporter makes.

The exporter hands its metrics to the registry and gives no way to them; the registry notes each that it is handed.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

# As prometheus_client describes them: a counter without the _total that its samples have.
_TOTAL = "flask_http_request"
_SECONDS = "flask_http_request_duration_seconds"


class NotedRegistry(CollectorRegistry):
    """A registry whose collectors can be found by the names of their metrics."""

    def __init__(self) -> None:
        super().__init__()
        self.collectors: dict[str, Collector] = {}

    def register(self, collector: Collector) -> None:
        """Register a collector. Raises ValueError where one of its names is taken."""
        super().register(collector)
        # As Prometheus' own registry has it: a collector need not describe itself.
        described: Iterable[Metric] = getattr(collector, "describe", tuple)()
        self.collectors.update((metric.name, collector) for metric in described)


class HttpMetrics:
    """Counts requests as the exporter does. Raises KeyError where the exporter has not registered its metrics."""

    def __init__(self, registry: NotedRegistry) -> None:
        self._total: Any = registry.collectors[_TOTAL]
        self._seconds: Any = registry.collectors[_SECONDS]
        self._find = cache(self._labelled)

    def count(self, method: str, rule: str, status: int, seconds: float) -> None:
        """Count a request that was answered. Each combination of the first three takes memory for good."""
        total, duration = self._find(method, rule, status)
        total.inc()
        duration.observe(seconds)

    def _labelled(self, method: str, rule: str, status: int) -> tuple[Any, Any]:
        return self._total.labels(method, str(status)), self._seconds.labels(method, rule, str(status))
