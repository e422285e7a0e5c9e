"""`request-logger deployments`: list the deployments with their counts and headline figures."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator
from typing import Any

from request_logger.analytics.deployment_text import HEADER, remarks, rows
from request_logger.analytics.deployments import ListOptions, list_deployments
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.selection_args import add_period, add_target
from request_logger.commands.text_table import table
from request_logger.settings import Settings
from request_logger.store.excluded_indices import left_out_note


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
    print(json.dumps(report, indent=2) if arguments.json else "\n".join(lines(report)))
    return int(not report["deployments"])


def lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield the list as lines of text."""
    if not report["deployments"]:
        yield f"No predictions in {report['indices']}."
        return
    for each in report["deployments"]:
        yield from (f"WARNING: {warning}" for warning in each.get("warnings", ()))
    yield table(HEADER, list(rows(report)))
    yield from remarks(report)
    if "left_out" in report:
        yield left_out_note(report["left_out"])
    first = report["deployments"][0]
    words = [first["target"], *(f"--where {shlex.quote(each)}" for each in first.get("where", ()))]
    yield f"The report of one: request-logger report {' '.join(filter(None, words))}"
