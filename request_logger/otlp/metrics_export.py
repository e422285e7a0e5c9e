"""Sends the metrics of /metrics by OTLP, every OTEL_METRIC_EXPORT_INTERVAL (ms).

The workers of a server share their metrics in a folder; whichever holds the lock on a file there sends those of all.
The kernel releases the lock when its holder ends, and another worker goes on.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import MetricExportResult

from request_logger.otlp.exported import Exported
from request_logger.otlp.metrics_data import metrics_data
from request_logger.otlp.resource import resource
from request_logger.otlp.tracer import quiet
from request_logger.telemetry import Telemetry

# OpenTelemetry's default for OTEL_METRIC_EXPORT_INTERVAL.
_INTERVAL_MILLISECONDS = 60_000


class MetricsExport:
    """A thread that sends metrics."""

    def __init__(self, exported: Exported, telemetry: Telemetry) -> None:
        quiet()
        self._collect = exported.collect
        self._telemetry = telemetry
        self._lock = _Lock(exported.lock)
        self._exporter = OTLPMetricExporter()
        self._resource = resource()
        text = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")
        self._seconds = (int(text) if text.isdecimal() and int(text) else _INTERVAL_MILLISECONDS) / 1000
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp-metrics", daemon=True)
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Send the metrics once more, at most for this time, and stop."""
        self._stopping.set()
        self._thread.join(seconds)
        self._exporter.shutdown(timeout_millis=0)

    def _run(self) -> None:
        while True:
            is_last = self._stopping.wait(self._seconds)
            if self._lock.is_held():
                self._send()
            if is_last:
                return

    def _send(self) -> None:
        try:
            made = metrics_data(self._collect(), self._resource, self._lock.since, time.time_ns())
            is_sent = self._exporter.export(made) is MetricExportResult.SUCCESS
        except Exception as error:
            # A file of metrics that is being removed, a name that the SDK refuses: the next time may succeed.
            self._telemetry.warn("otlp_metrics", "", f"metrics can't be read: {type(error).__name__}")
            is_sent = False
        else:
            if not is_sent:
                self._telemetry.warn("otlp_metrics", "", "the collector did not take the metrics")
        self._telemetry.otlp.labels("metrics_sent" if is_sent else "metrics_failed").inc()


def check() -> None:
    """Raise ValueError where a variable of the SDK is invalid; most invalid ones get its default, with a warning."""
    OTLPMetricExporter().shutdown(timeout_millis=0)


class _Lock:
    """The right to send, of one process at a time; without a file this process has it.

    ``since`` is when the first process came (ns since 1970): the start of all counters.
    """

    def __init__(self, path: Path | None) -> None:
        self._file: int | None = None
        self._is_held = path is None
        self.since = time.time_ns()
        if path is not None:
            self._file = os.open(path, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC, 0o600)
            # Nobody writes to it.
            self.since = os.fstat(self._file).st_mtime_ns

    def is_held(self) -> bool:
        """Take the lock if nobody has it; return whether this process has it."""
        if not self._is_held and self._file is not None:
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._is_held = True
        return self._is_held
