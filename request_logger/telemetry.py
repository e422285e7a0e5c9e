"""What is counted: the program's own Prometheus metrics, and warnings in the log that are not repeated."""

from __future__ import annotations

import logging
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

log = logging.getLogger(__name__)

_WARN_EVERY_SECONDS = 10.0


class Telemetry:
    """Counters of one application. Also the store's observer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "request_logger_events",
            "Events by part and by what became of them: stored, ignored, bad, refused, unavailable",
            ["part", "outcome"],
            registry=registry,
        )
        self.store = Counter(
            "request_logger_store",
            "What happened at the store: conflict, retry, refused, dead_letter, engine_down, index_missing",
            ["what"],
            registry=registry,
        )
        self.undecodable = Counter(
            "request_logger_undecodable", "Bodies that were stored as they came", ["part"], registry=registry
        )
        self.payload_dropped = Counter(
            "request_logger_payload_dropped",
            "Bodies over MAX_PAYLOAD_BYTES, stored as size and hash",
            registry=registry,
        )
        self.metadata = Counter(
            "request_logger_metadata",
            "Lookups of prediction schemas: fetched, none, failed; late: an event went on without waiting for one",
            ["what"],
            registry=registry,
        )
        self.unscored = Counter(
            "request_logger_unscored", "Feedback that was stored and could not be scored", registry=registry
        )
        self.bulk_seconds = Histogram(
            "request_logger_bulk_seconds", "Time of a _bulk request in seconds", registry=registry
        )
        self.bulk_changes = Histogram(
            "request_logger_bulk_changes",
            "Documents in a _bulk request",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
            registry=registry,
        )
        self.bulk_bytes = Counter("request_logger_bulk_bytes", "Bytes sent in _bulk requests", registry=registry)
        self.pending_bytes = Gauge(
            "request_logger_pending_bytes",
            "Bytes of bodies that wait for the engine",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._warned: dict[str, tuple[float, int]] = {}

    def bulk_sent(self, changes: int, size: int, seconds: float) -> None:
        """Count a _bulk request."""
        self.bulk_seconds.observe(seconds)
        self.bulk_changes.observe(changes)
        self.bulk_bytes.inc(size)

    def happened(self, what: str, index: str, reason: str) -> None:
        """Count what happened at the store; warn of it at most once in a while, with how often it was."""
        self.store.labels(what).inc()
        if what in ("conflict", "retry"):
            return
        last, since = self._warned.get(what, (0.0, 0))
        now = time.monotonic()
        if last and now - last < _WARN_EVERY_SECONDS:
            self._warned[what] = (last, since + 1)
            return
        self._warned[what] = (now, 0)
        log.warning(
            "%s%s: %s (%d more since the last such line)", what, f" in {index}" if index else "", reason[:300], since
        )
