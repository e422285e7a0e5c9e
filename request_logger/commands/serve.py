"""`request-logger serve`."""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from request_logger import logs
from request_logger.server.master import serve
from request_logger.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing: the environment configures the server, as it did the original."""


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped. Raises SettingsError, ScorerError or MetadataError."""
    settings = Settings.from_env()
    logs.configure(settings.log_level, settings.log_format)
    # In a process of its own: the workers must import the HTTP clients after gevent has patched what those stand on,
    # and so the process that they are forks of must not have imported them before.
    with ProcessPoolExecutor(1, get_context("fork")) as checks:
        checks.submit(_check, settings).result()
    serve(settings)
    return 0


def _check(settings: Settings) -> None:
    """Make everything once ahead of the workers: what is wrong is one line here, not a stack trace in each of them."""
    from request_logger.ingest.access import Access  # noqa: PLC0415
    from request_logger.ingest.redaction import Redactor  # noqa: PLC0415
    from request_logger.metadata import metadata_source  # noqa: PLC0415
    from request_logger.scoring.rules import Chooser  # noqa: PLC0415
    from request_logger.spool import check  # noqa: PLC0415
    from request_logger.store.client.client import SearchEngine  # noqa: PLC0415

    SearchEngine(settings)
    Chooser(settings.scorer, settings.scorers_config or None)
    metadata_source(settings)
    Access(settings)
    Redactor(settings.redact, settings.redact_key)
    if settings.spool_dir:
        check(settings.spool_dir)
