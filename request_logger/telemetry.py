"""Prometheus metrics of this process, and rate-limited warnings."""

from __future__ import annotations

import logging
import time
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from request_logger.logs import without_values

log = logging.getLogger(__name__)

# Per kind of warning: an outage then adds 6 lines per minute.
_WARN_EVERY_SECONDS = 10.0


class Telemetry:
    """The Prometheus metrics of one application; also the store's observer. Safe to use from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "request_logger_events",
            "Events by part and outcome: stored, ignored, sampled, bad, late, too_large, "
            "unauthorized, forbidden, refused, unavailable, spooled",
            ["part", "outcome"],
            registry=registry,
        )
        self.store = Counter(
            "request_logger_store",
            "Incidents at the store: conflict, retry, refused, dead_letter, engine_down, index_missing, joined,"
            " spool_bad, spool_error",
            ["what"],
            registry=registry,
        )
        self.undecodable = Counter(
            "request_logger_undecodable", "Bodies stored without decoding", ["part"], registry=registry
        )
        self.payload_dropped = Counter(
            "request_logger_payload_dropped",
            "Bodies over MAX_PAYLOAD_BYTES, stored as size and hash",
            registry=registry,
        )
        self.metadata = Counter(
            "request_logger_metadata",
            "Lookups of prediction schemas: fetched, none, failed; late: an event did not wait for one",
            ["what"],
            registry=registry,
        )
        self.unscored = Counter(
            "request_logger_unscored", "Feedback that was stored but could not be scored", registry=registry
        )
        self.replies = Counter(
            "request_logger_replies",
            "Events for REPLY_URL by outcome: sent, failed, dropped",
            ["outcome"],
            registry=registry,
        )
        self.bulk_seconds = Histogram(
            "request_logger_bulk_seconds", "Duration of a _bulk request in seconds", registry=registry
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
            "Duration of a search for documents in the indices of other months or days, in seconds",
            registry=registry,
        )
        self.lookups = Counter(
            "request_logger_lookups", "Gets of these searches: documents times indices", registry=registry
        )
        self.pending_bytes = Gauge(
            "request_logger_pending_bytes",
            "Bytes of bodies that wait for the search engine",
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
        self.events_spooled = Counter("request_logger_spooled", "Events written to SPOOL_DIR", registry=registry)
        self.events_replayed = Counter(
            "request_logger_spool_replayed", "Events sent from SPOOL_DIR to the search engine", registry=registry
        )
        self.stored = cache(lambda part: self.events.labels(part, "stored"))
        self._warned: dict[str, tuple[float, int]] = {}

    def waiting(self, size: int) -> None:
        """Set the bytes that wait for the search engine."""
        self.pending_bytes.set(size)

    def bulk_sent(self, changes: int, size: int, seconds: float) -> None:
        """Record a _bulk request: its documents, bytes and duration."""
        self.bulk_seconds.observe(seconds)
        self.bulk_changes.observe(changes)
        self.bulk_bytes.inc(size)

    def looked_up(self, gets: int, seconds: float) -> None:
        """Record a search for documents in several indices: its gets and duration."""
        self.lookup_seconds.observe(seconds)
        self.lookups.inc(gets)

    def spool_size(self, events: int, size: int) -> None:
        """Set the events and bytes that wait in the spool."""
        self.spool_events.set(events)
        self.spool_bytes.set(size)

    def spooled(self, count: int) -> None:
        """Count events that were written to the spool."""
        self.events_spooled.inc(count)

    def replayed(self, count: int) -> None:
        """Count events that were sent from the spool to the search engine."""
        self.events_replayed.inc(count)

    def happened(self, what: str, index: str, reason: str) -> None:
        """Count an incident at the store, with a rate-limited warning except for routine ones."""
        self.store.labels(what).inc()
        if what not in ("conflict", "retry", "joined"):
            self.warn(what, index, without_values(reason))

    def turned_away(self, outcome: str, reason: str, count: int = 1) -> None:
        """Count requests answered with an error, with a rate-limited warning. ``reason`` must not quote a body."""
        self.events.labels("", outcome).inc(count)
        self.warn(outcome, "", reason)

    def warn(self, what: str, index: str, reason: str) -> None:
        """Log a warning at most every _WARN_EVERY_SECONDS per ``what``, with the number suppressed since."""
        last, since = self._warned.get(what, (0.0, 0))
        now = time.monotonic()
        if last and now - last < _WARN_EVERY_SECONDS:
            self._warned[what] = (last, since + 1)
            return
        self._warned[what] = (now, 0)
        where = f" in {index}" if index else ""
        log.warning("%s%s: %s (%d more since the last such line)", what, where, reason[:300], since)
