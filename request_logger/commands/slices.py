"""`request-logger slices`: find the parts of the predictions that are worse than the rest."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator

from request_logger.analytics.slices.report import Options, Report, make_slices
from request_logger.analytics.slices.search import Rank
from request_logger.commands import deployments
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.near import tell_near
from request_logger.commands.selection_args import add_span, add_target
from request_logger.commands.slice_text import slice_lines
from request_logger.commands.styles import print_lines
from request_logger.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_span(parser)
    parser.add_argument(
        "--fields",
        metavar="A,B",
        default="",
        help="the fields to look at: elements, tags, headers, model...; default: all, at most 100",
    )
    parser.add_argument(
        "--metric", metavar="NAME", default="", help="the mean to compare: accuracy, mse, log_loss...; default: by task"
    )
    parser.add_argument(
        "--rank",
        type=Rank,
        choices=list(Rank),
        default=Rank.EFFECT,
        help="the worst first by how much worse a slice is (effect), or by that times its documents (cost)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV, one line per slice")


def run(arguments: argparse.Namespace) -> int:
    """Print the slices. Status 0: none is confirmed, 1: some are, or nothing is scored, 2: invalid arguments."""
    settings = Settings.from_env()
    options = Options(
        arguments.target,
        arguments.start,
        arguments.end,
        arguments.by_date,
        tuple(name for each in arguments.fields.split(",") if (name := each.strip())),
        arguments.metric,
        arguments.rank,
        tuple(arguments.where),
    )
    engine = quiet_engine(settings)
    found = make_slices(engine, settings, options)
    if not (found["tasks"] or "deployments" in found):
        tell_near(engine, settings, arguments.target)
    if arguments.json:
        print(json.dumps(found, indent=2))
    elif arguments.csv:
        deployments.require_one(found, "--csv")
        _write_csv(found)
    else:
        print_lines(lines(found))
    confirmed = any(each["confirmed"] for task in found["tasks"] for each in task.get("slices", []))
    return int(confirmed or not found["tasks"])


def lines(found: Report) -> Iterator[str]:
    """Yield the slices as lines of text."""
    if "deployments" in found:
        yield from deployments.lines(found)
        return
    if not found["tasks"]:
        yield "No scored predictions."
    for task in found["tasks"]:
        yield f"{task['scorer']}: {task['documents']:,} scored"
        yield from slice_lines(task)
    for note in found.get("notes", []):
        yield f"Note: {note}"


def _write_csv(found: Report) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for task in found["tasks"]:
        for each in task.get("slices", []):
            flat = {
                **each,
                "scorer": task["scorer"],
                "metric": task["metric"],
                **{
                    f"{half}_{name}": value
                    for half in ("finding", "confirming")
                    for name, value in each.get(half, {}).items()
                },
            }
            writer.writerow([flat.get(name, "") for name in _COLUMNS])


_COLUMNS = (
    "scorer", "metric", "name", "n", "confirmed", "cost",
    *(f"finding_{name}" for name in ("n", "mean", "rest", "worse", "p_adjusted", "shrunk")),
    *(f"confirming_{name}" for name in ("n", "mean", "rest", "worse", "low", "high", "p_adjusted")),
)  # fmt: skip
