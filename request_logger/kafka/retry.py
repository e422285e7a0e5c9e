"""Another try at a record that became a dead letter: the way of any record, outside a consumer."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import CollectorRegistry

from request_logger.composition import build
from request_logger.documents.event import BadEventError, IgnoredEventError
from request_logger.ingest.access import ForbiddenEventError
from request_logger.kafka.binding import Record, prepared
from request_logger.settings import Settings
from request_logger.store.changes import RejectedError


class Replayer:
    """Stores records one after the other, with the settings of `request-logger consume`."""

    def __init__(self, settings: Settings) -> None:
        self._registry = CollectorRegistry()
        # As a consumer has none: what fails stays a letter.
        self._settings = replace(settings, spool_dir="")
        self._parts = build(self._settings, self._registry)

    def store(self, record: Record, *, dry_run: bool = False) -> str:
        """Store a record; give why it isn't, empty where it is (or, with ``dry_run``, where it would be tried).

        Raises StoreUnavailableError.
        """
        before = self._buried()
        try:
            event, send = prepared(self._parts.pipeline, record, self._settings)
            if not dry_run:
                self._parts.pipeline.wait(event, send())
        except (BadEventError, IgnoredEventError, ForbiddenEventError, RejectedError) as error:
            return str(error)
        return "its document is a dead letter now" if self._buried() > before else ""

    def _buried(self) -> float:
        return self._registry.get_sample_value("request_logger_store_total", {"what": "dead_letter"}) or 0.0

    def close(self) -> None:
        """Finish what is under way."""
        self._parts.close()
