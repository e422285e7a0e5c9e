"""Prometheus metrics of this process, and rate-limited warnings."""

from __future__ import annotations

import logging
import time
from functools import cache

from prometheus_client import CollectorRegistry

from request_logger import telemetry_definitions as definitions
from request_logger.logs import without_values

log = logging.getLogger(__name__)

# Per kind of warning: an outage then adds 6 lines per minute.
_WARN_EVERY_SECONDS = 10.0


class Telemetry:
    """The Prometheus metrics of one application; also the store's observer. Safe to use from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = definitions.EVENTS.create(registry)
        self.store = definitions.STORE.create(registry)
        self.undecodable = definitions.UNDECODABLE.create(registry)
        self.payload_dropped = definitions.PAYLOAD_DROPPED.create(registry)
        self.metadata = definitions.METADATA.create(registry)
        self.unscored = definitions.UNSCORED.create(registry)
        self.scorer_errors = definitions.SCORER_ERRORS.create(registry)
        self.replies = definitions.REPLIES.create(registry)
        self.bulk_seconds = definitions.BULK_SECONDS.create(registry)
        self.bulk_changes = definitions.BULK_CHANGES.create(registry)
        self.bulk_bytes = definitions.BULK_BYTES.create(registry)
        self.lookup_seconds = definitions.LOOKUP_SECONDS.create(registry)
        self.lookups = definitions.LOOKUPS.create(registry)
        self.pending_bytes = definitions.PENDING_BYTES.create(registry)
        self.memory_held_bytes = definitions.MEMORY_HELD_BYTES.create(registry)
        self.memory_budget_bytes = definitions.MEMORY_BUDGET_BYTES.create(registry)
        self.workers = definitions.WORKERS.create(registry)
        self.workers.set(1)
        self.spool_max_bytes = definitions.SPOOL_MAX_BYTES.create(registry)
        self.spool_bytes = definitions.SPOOL_BYTES.create(registry)
        self.spool_events = definitions.SPOOL_EVENTS.create(registry)
        self.spool_oldest_seconds = definitions.SPOOL_OLDEST_SECONDS.create(registry)
        self.events_spooled = definitions.SPOOLED.create(registry)
        self.events_replayed = definitions.SPOOL_REPLAYED.create(registry)
        self.forwarded = definitions.FORWARDED.create(registry)
        self.forward_retries = definitions.FORWARD_RETRIES.create(registry)
        self.forward_waiting_requests = definitions.FORWARD_WAITING_REQUESTS.create(registry)
        self.forward_waiting_bytes = definitions.FORWARD_WAITING_BYTES.create(registry)
        self.forward_oldest_seconds = definitions.FORWARD_OLDEST_SECONDS.create(registry)
        self.otlp = definitions.OTLP.create(registry)
        self.stored = cache(lambda part: self.events.labels(part, "stored"))
        self.spooled_by_part = cache(lambda part: self.events.labels(part, "spooled"))
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

    def oldest_event(self, age: float) -> None:
        """Set how long the oldest event of the spool has waited (seconds)."""
        self.spool_oldest_seconds.set(age)

    def spooled(self, count: int) -> None:
        """Count events that were written to the spool."""
        self.events_spooled.inc(count)

    def replayed(self, count: int) -> None:
        """Count events that were sent from the spool to the search engine."""
        self.events_replayed.inc(count)

    def forward_waiting(self, requests: int, size: int, age: float) -> None:
        """Set what waits for FORWARD_URL: requests, bytes, and the age of the oldest (seconds)."""
        self.forward_waiting_requests.set(requests)
        self.forward_waiting_bytes.set(size)
        self.forward_oldest_seconds.set(age)

    def happened(self, what: str, index: str, reason: str) -> None:
        """Count an incident at the store, with a rate-limited warning except for routine ones."""
        self.store.labels(what).inc()
        if what not in ("conflict", "retry", "joined"):
            self.warn(what, index, without_values(reason))

    def shared_key(self, index: str) -> None:
        """Count a prediction whose value of a join key another one has, with a rate-limited warning."""
        self.happened("shared_key", index, "two predictions have the same value of a key of JOIN_KEYS")

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
