"""`request-logger report`: report the quality of predictions as a table, JSON or a page."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.report import Options, Report, make_report
from request_logger.analytics.thresholds.cells import Costs
from request_logger.commands import deployments
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.report_text import ALL, SHORT, Part, lines
from request_logger.commands.selection_args import add_mature, add_span, add_target
from request_logger.commands.styles import print_lines
from request_logger.errors import CommandError
from request_logger.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_span(parser)
    parser.add_argument(
        "--by",
        metavar="FIELD",
        action="append",
        default=[],
        help="split by model, version, an element, a tag, a header...; twice: by both, crossed",
    )
    parser.add_argument(
        "--window", metavar="DURATION", default="", help="interval of the points over time: 15m, 6h, 1d, 1w, month"
    )
    parser.add_argument(
        "--against",
        metavar="WINDOW",
        default="",
        help="add the drift of inputs and predictions against reference, previous, same-weekday or DATE..DATE",
    )
    add_mature(parser)
    parser.add_argument(
        "--cost",
        metavar="VALUES",
        default="",
        help="judge thresholds by the value of each outcome, a cost is negative: tp=0,fp=-1,fn=-10,tn=0",
    )
    parser.add_argument("--slices", action="store_true", help="look for the worst slices in all fields: takes longer")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--all",
        dest="parts",
        action="store_const",
        const=ALL,
        default=SHORT,
        help="print all metrics, the confusion matrix, thresholds, the figures over time, the selection of feedback",
    )
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--html", metavar="FILE", help="write one self-contained page with plots")


def run(arguments: argparse.Namespace) -> int:
    """Print or write the report. Status 0: done, 1: there is nothing to report, 2: invalid arguments."""
    settings = Settings.from_env()
    if len(arguments.by) > 2:
        raise BadQueryError(f"--by: expected one field or two, found {len(arguments.by)}")
    by, across = [*arguments.by, "", ""][:2]
    options = Options(
        arguments.target,
        arguments.start,
        arguments.end,
        by,
        arguments.window,
        arguments.by_date,
        mature=arguments.mature,
        slices=arguments.slices,
        where=tuple(arguments.where),
        against=arguments.against,
        costs=Costs.of(arguments.cost) if arguments.cost else None,
        across=across,
    )
    report = make_report(quiet_engine(settings), settings, options)
    if arguments.json:
        print(json.dumps(report, indent=2))
    elif arguments.html:
        from request_logger.analytics.page import page  # noqa: PLC0415 - only a page needs its templates

        write_page(Path(arguments.html), page, report)
    else:
        # A window is of no use without the figures over time.
        parts = {*arguments.parts, *([Part.OVER_TIME] if arguments.window else [])}
        print_lines(deployments.lines(report) if "deployments" in report else lines(report, parts))
    return int(not report["coverage"]["predictions"] and not report["tasks"] and "evaluations" not in report)


def write_page(path: Path, page: Callable[[Report], str], found: Report) -> None:
    """Write a page to a file. Raises CommandError."""
    try:
        path.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--html: {path} can't be written: {error.strerror}") from None
    print(f"{path} written")
