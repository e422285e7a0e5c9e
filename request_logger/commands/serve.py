"""`request-logger serve`: run the server."""

from __future__ import annotations

import argparse
import logging
import os

from request_logger import logs
from request_logger.commands.startup_process import problems_in_other_process
from request_logger.server.master import serve
from request_logger.settings import Settings, SettingsError
from request_logger.settings_names import misspelled

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments: none, since the environment configures the server, as it did the original."""


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped. Raises SettingsError with one line for each invalid setting."""
    settings, problems = Settings.read()
    logs.configure(settings.log_level, settings.log_format)
    problems += problems_in_other_process(settings)
    if problems:
        raise SettingsError("\n".join(problems))
    for line in misspelled(os.environ):
        log.warning(line)
    serve(settings)
    return 0
