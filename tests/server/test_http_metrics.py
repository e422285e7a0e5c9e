"""Requests that Flask doesn't see are counted in the same metrics as those that it sees."""

from __future__ import annotations

import pytest
from flask import Flask
from prometheus_client import Counter
from prometheus_flask_exporter import PrometheusMetrics

from request_logger.server.http_metrics import HttpMetrics, NotedRegistry


def test_both_are_counted_together() -> None:
    """A request that Flask handles and one that it does not are both counted, in the counter and in the histogram."""
    app = Flask("test")
    registry = NotedRegistry()
    PrometheusMetrics(app, registry=registry, group_by="url_rule")
    app.get("/here")(lambda: "yes")
    app.test_client().get("/here")
    HttpMetrics(registry).count("GET", "/here", 200, 2.0)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"method": "GET", "status": "200", **labels})

    assert value("flask_http_request_total") == 2
    assert value("flask_http_request_duration_seconds_count", url_rule="/here") == 2
    seconds = value("flask_http_request_duration_seconds_sum", url_rule="/here")
    assert seconds is not None
    assert seconds >= 2.0


def test_without_the_exporter() -> None:
    """Metrics that nobody registered are an error at once, not at the first request."""
    with pytest.raises(KeyError, match="flask_http_request"):
        HttpMetrics(NotedRegistry())


def test_names_are_taken_once() -> None:
    """A name that is taken stays with its collector."""
    registry = NotedRegistry()
    first = Counter("a", "b", registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Counter("a", "b", registry=registry)
    assert registry.collectors == {"a": first}
