"""Retries a record that became a dead letter, as the consumer would process it."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import CollectorRegistry

from request_logger.composition import build
from request_logger.documents.event import BadEventError, IgnoredEventError
from request_logger.ingest.access import ForbiddenEventError
from request_logger.kafka.binding import prepared
from request_logger.kafka.record import Record
from request_logger.settings import Settings
from request_logger.store.changes import RejectedError


class DeadLetterRetry:
    """Stores dead-letter records one at a time, with the settings of `request-logger consume`. Not thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._registry = CollectorRegistry()
        # A consumer has no spool: a record that fails stays a dead letter.
        self._settings = replace(settings, spool_dir="", queue="fallback")
        self._parts = build(self._settings, self._registry)

    def store(self, record: Record, *, dry_run: bool = False) -> str:
        """Store a record and return why it isn't stored; empty on success (with ``dry_run``: if it would be tried).

        Raises StoreUnavailableError.
        """
        before = self._dead_letter_count()
        try:
            event, send = prepared(self._parts.pipeline, record, self._settings)
            if not dry_run:
                self._parts.pipeline.wait(event, send())
        except (BadEventError, IgnoredEventError, ForbiddenEventError, RejectedError) as error:
            return str(error)
        return "its document is a dead letter now" if self._dead_letter_count() > before else ""

    def _dead_letter_count(self) -> float:
        return self._registry.get_sample_value("request_logger_store_total", {"what": "dead_letter"}) or 0.0

    def close(self) -> None:
        """Flush pending writes and close the pipeline."""
        self._parts.close()
