"""`request-logger serve`: run the server."""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from request_logger import logs
from request_logger.server.master import serve
from request_logger.settings import Settings, SettingsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments: none, since the environment configures the server, as it did the original."""


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped. Raises SettingsError with one line for each invalid setting."""
    settings, problems = Settings.read()
    logs.configure(settings.log_level, settings.log_format)
    # The checks import the HTTP clients. The workers must import those after gevent has patched the standard library,
    # so the process that the workers are forked from must not import them first: the checks run in a child process.
    with ProcessPoolExecutor(1, get_context("fork")) as checks:
        problems += checks.submit(_problems, settings).result()
    if problems:
        raise SettingsError("\n".join(problems))
    serve(settings)
    return 0


def _problems(settings: Settings) -> list[str]:
    """Build every configured part before the workers do, so that a mistake is one line, not a traceback per worker."""
    from request_logger.commands.startup_checks import startup_problems  # noqa: PLC0415
    from request_logger.server import worker_files  # noqa: PLC0415
    from request_logger.spool import check  # noqa: PLC0415

    checks = []
    if settings.spool_dir:
        checks.append(lambda: check(settings.spool_dir))
    if folder := os.environ.get(worker_files.VARIABLE):
        checks.append(lambda: worker_files.prepare(folder))
    return startup_problems(settings, *checks)
