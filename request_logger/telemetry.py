"""Prometheus metrics of this process, and rate-limited warnings."""

from __future__ import annotations

import logging
import time
from functools import cache

from prometheus_client import CollectorRegistry

from request_logger import telemetry_definitions as definitions
from request_logger.logs import without_values

log = logging.getLogger(__name__)

_WARN_EVERY_SECONDS = 10.0


class Telemetry:
    """Counters of one application. Also the store's observer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = definitions.EVENTS.create(registry)
        self.store = definitions.STORE.create(registry)
        self.undecodable = definitions.UNDECODABLE.create(registry)
        self.payload_dropped = definitions.PAYLOAD_DROPPED.create(registry)
        self.metadata = definitions.METADATA.create(registry)
        self.unscored = definitions.UNSCORED.create(registry)
        self.replies = definitions.REPLIES.create(registry)
        self.bulk_seconds = definitions.BULK_SECONDS.create(registry)
        self.bulk_changes = definitions.BULK_CHANGES.create(registry)
        self.bulk_bytes = definitions.BULK_BYTES.create(registry)
        self.lookup_seconds = definitions.LOOKUP_SECONDS.create(registry)
        self.lookups = definitions.LOOKUPS.create(registry)
        self.pending_bytes = definitions.PENDING_BYTES.create(registry)
        self.spool_bytes = definitions.SPOOL_BYTES.create(registry)
        self.spool_events = definitions.SPOOL_EVENTS.create(registry)
        self.events_spooled = definitions.SPOOLED.create(registry)
        self.events_replayed = definitions.SPOOL_REPLAYED.create(registry)
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
