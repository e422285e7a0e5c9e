"""Checks the configuration before the server starts, in a process that ends with the check.

The check imports what the workers import: HTTP clients, which gevent has to patch before they are imported, and the
user's own scorers, which may do anything at their import (start threads, open connections). The master process, of
which the workers are forks, must have done none of that.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from request_logger.settings import Settings


def check(settings: Settings) -> None:
    """Build each part once: what is wrong is one line here, not a stack trace in each worker.

    Raises SettingsError, ScorerError or MetadataError.
    """
    with ProcessPoolExecutor(1, get_context("fork")) as process:
        process.submit(_build, settings).result()


def _build(settings: Settings) -> None:
    from request_logger.ingest.access import Access  # noqa: PLC0415
    from request_logger.ingest.redaction import Redactor  # noqa: PLC0415
    from request_logger.metadata import metadata_source  # noqa: PLC0415
    from request_logger.scoring.rules import Chooser  # noqa: PLC0415
    from request_logger.spool import check as check_spool  # noqa: PLC0415
    from request_logger.store.client.client import SearchEngine  # noqa: PLC0415

    SearchEngine(settings)
    Chooser(settings.scorer, settings.scorers_config or None)
    metadata_source(settings)
    Access(settings)
    Redactor(settings.redact, settings.redact_key)
    if settings.spool_dir:
        check_spool(settings.spool_dir)
