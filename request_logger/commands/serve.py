"""`request-logger serve`."""

from __future__ import annotations

import argparse

from request_logger import logs
from request_logger.commands.startup_check import check
from request_logger.server.master import serve
from request_logger.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing: the environment configures the server, as it did the original."""


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped. Raises SettingsError, ScorerError or MetadataError."""
    settings = Settings.from_env()
    logs.configure(settings.log_level, settings.log_format)
    check(settings)
    serve(settings)
    return 0
