"""`request-logger serve`."""

from __future__ import annotations

import argparse

from request_logger import logs
from request_logger.access import Access
from request_logger.choosing import Chooser
from request_logger.metadata import metadata_source
from request_logger.redaction import Redactor
from request_logger.server import serve
from request_logger.settings import Settings
from request_logger.spool import check
from request_logger.store.client import SearchEngine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing: the environment configures the server, as it did the original."""


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped. Raises SettingsError, ScorerError or MetadataError."""
    settings = Settings.from_env()
    logs.configure(settings.log_level, settings.log_format)
    # Made once ahead of the workers, so that what is wrong is one line here instead of a stack trace in each of them.
    SearchEngine(settings)
    Chooser(settings.scorer, settings.scorers_config or None)
    metadata_source(settings)
    Access(settings)
    Redactor(settings.redact, settings.redact_key)
    if settings.spool_dir:
        check(settings.spool_dir)
    serve(settings)
    return 0
