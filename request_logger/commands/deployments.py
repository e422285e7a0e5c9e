"""`request-logger deployments`: list the deployments with their counts and headline figures."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator
from typing import Any

from request_logger.analytics.deployment_text import HEADER, head, name_of, remarks, rows
from request_logger.analytics.deployments import ListOptions, list_deployments
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.selection_args import add_period, add_target
from request_logger.commands.styles import heading, print_lines, warning
from request_logger.commands.text_table import table
from request_logger.errors import CommandError
from request_logger.settings import Settings

# Deployments that the one line of an error names.
_MOST_NAMED = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_period(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the list. Status 0: done, 1: there is no deployment, 2: invalid arguments."""
    settings = Settings.from_env()
    options = ListOptions(arguments.target, arguments.start, arguments.end, tuple(arguments.where))
    report = list_deployments(quiet_engine(settings), settings, options)
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        print_lines([*lines(report), *_how_to_go_on(report)])
    return int(not report["deployments"])


def lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield the list as lines of text."""
    for each in report["deployments"]:
        yield from map(warning, each.get("warnings", ()))
    yield heading(head(report))
    if not report["deployments"]:
        yield "No predictions."
        return
    yield table(HEADER, list(rows(report)))
    yield from remarks(report)


def require_one(report: dict[str, Any], option: str) -> None:
    """Raise CommandError if a report is the list of several deployments, which an option has no form for."""
    names = [name_of(each) for each in report.get("deployments", ())]
    if names:
        more = ", ..." if len(names) > _MOST_NAMED or "deployments_left_out" in report else ""
        raise CommandError(f"{option}: expected one deployment as target, found {', '.join(names[:_MOST_NAMED])}{more}")


def _how_to_go_on(report: dict[str, Any]) -> Iterator[str]:
    for first in report["deployments"][:1]:
        target = [shlex.quote(first["target"])] if first["target"] else []
        words = [*target, *(f"--where {shlex.quote(each)}" for each in first.get("where", ()))]
        yield f"The report of one: request-logger report {' '.join(words)}"
