"""What is counted: the program's own Prometheus metrics, and warnings in the log that are not repeated."""

from __future__ import annotations

import logging
import time
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from request_logger.logs import without_values

log = logging.getLogger(__name__)

_WARN_EVERY_SECONDS = 10.0


class Telemetry:
    """Counters of one application. Also the store's observer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "request_logger_events",
            "Events by part and by what became of them: stored, ignored, sampled, bad, late, too_large, "
            "unauthorized, forbidden, refused, unavailable, spooled",
            ["part", "outcome"],
            registry=registry,
        )
        self.store = Counter(
            "request_logger_store",
            "What happened at the store: conflict, retry, refused, dead_letter, engine_down, index_missing, joined,"
            " spool_bad, spool_error",
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
        self.replies = Counter(
            "request_logger_replies",
            "Events for REPLY_URL by what became of them: sent, failed, dropped",
            ["outcome"],
            registry=registry,
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
        self.lookup_seconds = Histogram(
            "request_logger_lookup_seconds",
            "Time of a look for documents in the indices of other months or days, in seconds",
            registry=registry,
        )
        self.lookups = Counter(
            "request_logger_lookups", "Gets of these looks: documents times indices", registry=registry
        )
        self.pending_bytes = Gauge(
            "request_logger_pending_bytes",
            "Bytes of bodies that wait for the engine",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.spool_bytes = Gauge(
            "request_logger_spool_bytes",
            "Bytes that wait in SPOOL_DIR",
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.spool_events = Gauge(
            "request_logger_spool_events",
            "Events that wait in SPOOL_DIR",
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.events_spooled = Counter(
            "request_logger_spooled", "Events that were put into SPOOL_DIR", registry=registry
        )
        self.events_replayed = Counter(
            "request_logger_spool_replayed", "Events that went from SPOOL_DIR to the engine", registry=registry
        )
        self.stored = cache(lambda part: self.events.labels(part, "stored"))
        self._warned: dict[str, tuple[float, int]] = {}

    def waiting(self, size: int) -> None:
        """Note how many bytes wait for the engine."""
        self.pending_bytes.set(size)

    def bulk_sent(self, changes: int, size: int, seconds: float) -> None:
        """Count a _bulk request."""
        self.bulk_seconds.observe(seconds)
        self.bulk_changes.observe(changes)
        self.bulk_bytes.inc(size)

    def looked_up(self, gets: int, seconds: float) -> None:
        """Count a look for documents in several indices."""
        self.lookup_seconds.observe(seconds)
        self.lookups.inc(gets)

    def spool_size(self, events: int, size: int) -> None:
        """Note what waits in the spool."""
        self.spool_events.set(events)
        self.spool_bytes.set(size)

    def spooled(self, count: int) -> None:
        """Count events that went into the spool."""
        self.events_spooled.inc(count)

    def replayed(self, count: int) -> None:
        """Count events that went from the spool to the engine."""
        self.events_replayed.inc(count)

    def happened(self, what: str, index: str, reason: str) -> None:
        """Count what happened at the store; warn of it at most once in a while, with how often it was."""
        self.store.labels(what).inc()
        if what not in ("conflict", "retry", "joined"):
            self.warn(what, index, without_values(reason))

    def turned_away(self, outcome: str, reason: str, count: int = 1) -> None:
        """Count requests that are answered with an error, and warn of them. ``reason`` must quote nothing of a body."""
        self.events.labels("", outcome).inc(count)
        self.warn(outcome, "", reason)

    def warn(self, what: str, index: str, reason: str) -> None:
        """Warn at most once in a while, with how often it was."""
        last, since = self._warned.get(what, (0.0, 0))
        now = time.monotonic()
        if last and now - last < _WARN_EVERY_SECONDS:
            self._warned[what] = (last, since + 1)
            return
        self._warned[what] = (now, 0)
        place = f" in {index}" if index else ""
        log.warning("%s%s: %s (%d more since the last such line)", what, place, reason[:300], since)
