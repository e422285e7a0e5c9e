"""`request-logger fairness`: compare selection rate, TPR, FPR and precision between the values of a field."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from request_logger.analytics.fairness.gauges import exposition
from request_logger.analytics.fairness.rates import Rate
from request_logger.analytics.fairness.report import Options, Report, make_fairness
from request_logger.analytics.formatting import interval, number, p_value, words
from request_logger.commands import deployments
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.figure_forms import add_textfile, show
from request_logger.commands.near import tell_near
from request_logger.commands.selection_args import add_span, add_target
from request_logger.commands.text_table import table
from request_logger.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_span(parser)
    parser.add_argument(
        "--by",
        metavar="FIELD",
        required=True,
        help="the field whose values are compared: an element, a tag, a header...",
    )
    parser.add_argument(
        "--class",
        dest="positive",
        metavar="NAME",
        default="",
        help="the class that a prediction selects; default: the positive class of two",
    )
    parser.add_argument(
        "--reference",
        metavar="VALUE",
        default="",
        help="the value that the others are compared with; default: the one with the most documents",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    add_textfile(form)


def run(arguments: argparse.Namespace) -> int:
    """Print the rates by value. Status 0: done, 1: there is nothing to compare, 2: invalid arguments."""
    settings = Settings.from_env()
    options = Options(
        arguments.by,
        arguments.target,
        arguments.start,
        arguments.end,
        arguments.by_date,
        arguments.positive,
        arguments.reference,
        tuple(arguments.where),
    )
    engine = quiet_engine(settings)
    found = make_fairness(engine, settings, options)
    if not (found["tasks"] or "deployments" in found):
        tell_near(engine, settings, arguments.target)
    if arguments.textfile:
        deployments.require_one(found, "--textfile")
    show(arguments, found, exposition, lines)
    return int(not any("groups" in task for task in found["tasks"]))


def lines(found: Report) -> Iterator[str]:
    """Yield the rates as lines of text."""
    if "deployments" in found:
        yield from deployments.lines(found)
        return
    if not found["tasks"]:
        yield "No scored classifications."
    for task in found["tasks"]:
        yield f"{task['scorer']}: {task['documents']:,} scored"
        if "reason" in task:
            yield f"No rates: {task['reason']}."
            continue
        for rate in Rate:
            yield ""
            yield from _rate(found["name"], task, rate)
        if task["values_left_out"]:
            yield f"  and {task['values_left_out']:,} more values with {task['documents_left_out']:,} documents"
    yield from (f"Note: {note}" for note in found.get("notes", []))


def _rate(name: str, task: Report, rate: Rate) -> Iterator[str]:
    title = words(rate)
    rows = []
    for group in task["groups"]:
        each = group["rates"].get(rate)
        if each is None:
            rows.append([group["value"], "-", "-", "-", "-", "-", "0"])
            continue
        apart = each.get("difference")
        compared = [number(apart["value"]), interval(apart), p_value(apart["p_adjusted"])] if apart else ["-"] * 3
        rows.append([group["value"], number(each["value"]), interval(each), *compared, f"{each['n']:,}"])
    yield table([name, title, "95 % interval", f"minus {task['reference']}", "95 % interval", "adjusted p", "of"], rows)
    greatest = task["greatest"].get(rate)
    if greatest:
        ratio = f", ratio {number(greatest['ratio'])}" if "ratio" in greatest else ""
        between = f"{greatest['highest']} and {greatest['lowest']}"
        yield f"  greatest difference {number(greatest['difference'])}{ratio}, between {between}"
