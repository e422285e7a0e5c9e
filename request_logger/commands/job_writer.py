"""The writer of commands that change stored documents."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from request_logger.documents.document import degrade
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from request_logger.store.errors import LACKING
from request_logger.store.writing.ports import Limits, NullObserver, Observer
from request_logger.store.writing.writer import Writer

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 120.0
"""Outages of the search engine up to this long don't end the run."""


class Refusals(NullObserver):
    """Remembers documents that became dead letters: their changes were rejected in every form.

    A missing privilege is logged at once, since the writer waits for it as it does for the search engine.
    """

    def __init__(self) -> None:
        self.count = 0
        self.reason = ""
        self._is_forbidden = False

    def happened(self, what: str, index: str, reason: str) -> None:
        """Count a dead letter; log the first missing privilege."""
        if what == "dead_letter":
            self.count += 1
            self.reason = f"{index}: {reason}"
        elif LACKING in reason and not self._is_forbidden:
            self._is_forbidden = True
            log.warning("%s: retrying for %.0f s", reason, PATIENCE_SECONDS)


@contextmanager
def job_writer(engine: SearchEngine, settings: Settings, observer: Observer | None = None) -> Iterator[Writer]:
    """Provide a writer that waits for an engine that is away for a while, and is closed at the end.

    By default the caller counts rejected documents.
    """
    limits = Limits(
        timeout_seconds=max(settings.store_timeout_seconds, PATIENCE_SECONDS),
        max_pending_bytes=2**40,
        bulk_max_bytes=settings.bulk_max_bytes,
        # No cache, since each document is changed only once.
        cache_max_bytes=0,
    )
    writer = Writer(engine, degrade, observer or Refusals(), limits)
    try:
        yield writer
    finally:
        writer.close(settings.store_timeout_seconds)
