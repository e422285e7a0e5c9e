"""Checks the configuration before the server starts, in a process that ends with the check.

The check imports what the workers import: HTTP clients, which gevent has to patch before they are imported, and the
user's own scorers, which may do anything at their import (start threads, open connections). The master process, from
which the workers are forked, must have done none of that.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from request_logger.settings import Settings


def problems_in_other_process(settings: Settings) -> list[str]:
    """Build each configured part once, in a child process, and return one line per problem."""
    with ProcessPoolExecutor(1, get_context("fork")) as process:
        return process.submit(_problems, settings).result()


def _problems(settings: Settings) -> list[str]:
    from request_logger.commands.startup_checks import startup_problems  # noqa: PLC0415
    from request_logger.server import worker_files  # noqa: PLC0415
    from request_logger.spool import check  # noqa: PLC0415

    checks: list[Callable[[], object]] = []
    if settings.spool_dir:
        checks.append(lambda: check(settings.spool_dir))
    if folder := os.environ.get(worker_files.VARIABLE):
        checks.append(lambda: worker_files.prepare(folder))
    return startup_problems(settings, *checks)
