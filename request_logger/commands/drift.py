"""`request-logger drift`: tell whether inputs and predictions are distributed as before."""
# a command prints

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from request_logger.analytics.drift.gauges import exposition
from request_logger.analytics.drift.judgement import Level
from request_logger.analytics.drift.report import DriftOptions, Report, drift_report
from request_logger.analytics.drift.tables import head, notes, tables, verdict
from request_logger.analytics.windows import Against
from request_logger.commands import deployments
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.figure_forms import add_textfile, show
from request_logger.commands.near import tell_near
from request_logger.commands.report import write_page
from request_logger.commands.selection_args import add_period, add_target
from request_logger.commands.text_table import table
from request_logger.settings import Settings

# The same as those of check-quality.
_MAJOR, _TOO_FEW, _MODERATE = 1, 3, 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_against(parser)
    add_period(parser)
    parser.add_argument(
        "--fields",
        metavar="NAMES",
        default="",
        help="only these elements, tags, headers or prediction fields, separated by commas; default: all, up to 100",
    )
    parser.add_argument(
        "--reset", action="store_true", help="choose the ranges and values of the reference again, and store them"
    )
    parser.add_argument(
        "--fail",
        action="store_true",
        help="exit with status 1 for major drift, 4 for moderate drift or a problem with the data",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--html", metavar="FILE", help="write one self-contained page")
    add_textfile(form)


def add_against(parser: argparse.ArgumentParser, *, is_needed: bool = True) -> None:
    """Add the option that names what a time span is compared with."""
    parser.add_argument(
        "--against",
        metavar="WINDOW",
        default=Against.REFERENCE.value if is_needed else "",
        help="compare with reference (reference-log-*), previous (the time span before), same-weekday (whole weeks"
        " before) or a period such as 2026-01-01..2026-02-01" + ("; default: reference" if is_needed else ""),
    )


def run(arguments: argparse.Namespace) -> int:
    """Print or write the figures. Status 0: done, 2: invalid arguments, 3: not enough data; --fail adds 1 and 4."""
    settings = Settings.from_env()
    names = tuple(name for each in arguments.fields.split(",") if (name := each.strip()))
    options = DriftOptions(
        arguments.target,
        arguments.against,
        arguments.start,
        arguments.end,
        names,
        reset=arguments.reset,
        where=tuple(arguments.where),
    )
    engine = quiet_engine(settings)
    report = drift_report(engine, settings, options)
    for option in ("fail", "html", "textfile"):
        # A gate that looked at nothing must not pass.
        if getattr(arguments, option):
            deployments.require_one(report, f"--{option}")
    if not report.get("documents", "deployments" in report):
        tell_near(engine, settings, arguments.target)
    if arguments.html:
        from request_logger.analytics.page import drift_page  # noqa: PLC0415 - only a page needs its templates

        write_page(Path(arguments.html), drift_page, report)
    else:
        show(arguments, report, exposition, lines)
    if report["level"] == Level.UNKNOWN and not report.get("with_problems"):
        return _TOO_FEW
    return _status(report) if arguments.fail else 0


def _status(report: Report) -> int:
    if report["level"] == Level.MAJOR:
        return _MAJOR
    return _MODERATE if report["level"] == Level.MODERATE or report["with_problems"] else 0


def lines(report: Report) -> Iterator[str]:
    """Yield the report as lines of text."""
    if "deployments" in report:
        yield from deployments.lines(report)
        return
    yield head(report)
    yield verdict(report)
    for found in tables(report):
        yield ""
        yield found.caption
        yield table(found.header, found.rows)
    for note in notes(report):
        yield ""
        yield f"Note: {note}"
