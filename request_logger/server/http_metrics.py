"""Counts the fast path's requests in the metrics of Flask's exporter, which doesn't see them.

The exporter registers its metrics and gives no access to them, so the registry records each collector.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

# Names as prometheus_client describes them: a counter's lacks the _total of its samples.
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
        # As in prometheus_client's registry: `describe` is optional.
        described: Iterable[Metric] = getattr(collector, "describe", tuple)()
        self.collectors.update((metric.name, collector) for metric in described)


class HttpMetrics:
    """Counts requests as the exporter does. Raises KeyError if the exporter has not registered its metrics."""

    def __init__(self, registry: NotedRegistry) -> None:
        self._total: Any = registry.collectors[_TOTAL]
        self._seconds: Any = registry.collectors[_SECONDS]
        self._find = cache(self._labelled)

    def count(self, method: str, rule: str, status: int, seconds: float) -> None:
        """Count an answered request. Each combination of method, rule and status takes memory permanently."""
        total, duration = self._find(method, rule, status)
        total.inc()
        duration.observe(seconds)

    def _labelled(self, method: str, rule: str, status: int) -> tuple[Any, Any]:
        return self._total.labels(method, str(status)), self._seconds.labels(method, rule, str(status))
