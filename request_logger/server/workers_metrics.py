"""/metrics for several worker processes: the sum of their files (see `worker_files`)."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Flask
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_flask_exporter import PrometheusMetrics

from request_logger.server.worker_files import own_files


class WorkersMetrics(PrometheusMetrics):  # type: ignore[misc]
    """Flask's exporter with a /metrics that adds up the files in ``folder``."""

    def __init__(self, app: Flask, folder: str, registry: CollectorRegistry) -> None:
        self._folder = folder
        super().__init__(app, registry=registry, group_by="url_rule")

    def generate_metrics(self, accept_header: str | None = None, names: object = None) -> tuple[str, str]:
        """Return the text of /metrics and its content type. ``names`` is ignored: the files have no index of names."""
        registry = CollectorRegistry()
        registry.register(WorkersFiles(self._folder))
        encode, content_type = choose_encoder(accept_header or "")
        return encode(registry).decode(), content_type


class WorkersFiles(Collector):
    """The metrics in the files of all workers in ``folder``, added up."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        files = [str(path) for path in own_files(self._folder)]
        return MultiProcessCollector.merge(files, accumulate=True)  # type: ignore[no-any-return,no-untyped-call]
