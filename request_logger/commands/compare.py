"""`request-logger compare`: tell which of two predictors or models is better, with significance."""
# a command prints

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from request_logger.analytics.compare import Comparison, compare
from request_logger.analytics.compared_errors import compared_errors
from request_logger.analytics.comparison_text import CLASS_HEADER, class_rows, head, header, notes, rows, verdict_line
from request_logger.analytics.contrasts import Form
from request_logger.analytics.paired_samples import WAYS
from request_logger.analytics.report import Report
from request_logger.analytics.wrong_predictions import MOST_ROWS
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.errors import lines as error_lines
from request_logger.commands.report import write_page
from request_logger.commands.selection_args import add_mature, add_span
from request_logger.commands.styles import heading, print_lines, warning
from request_logger.commands.text_table import table
from request_logger.settings import Settings
from request_logger.store.excluded_indices import left_out_note


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("a", metavar="A", help="one predictor or model, or a deployment as namespace/name")
    parser.add_argument("b", metavar="B", help="the other")
    parser.add_argument(
        "--in",
        dest="target",
        metavar="TARGET",
        default="",
        help="a deployment (name, namespace/name) or an index, * is a wildcard; default: all",
    )
    parser.add_argument(
        "--by",
        metavar="FIELD",
        default="",
        help="the field with the values A and B: predictor, model, deployment, version, a tag, a header...",
    )
    parser.add_argument(
        "--metric", metavar="NAME", default="", help="the metric that decides; default: accuracy, mse, ..."
    )
    parser.add_argument(
        "--pair",
        choices=WAYS,
        default="auto",
        help="pair documents by request id (as from a shadow; auto: if there are any), by equal rows, or not",
    )
    parser.add_argument(
        "--fixed-n",
        dest="form",
        action="store_const",
        const=Form.FIXED,
        default=Form.SEQUENTIAL,
        help="test for one look at a number of documents chosen beforehand; default: valid for a look every day",
    )
    parser.add_argument(
        "--detect",
        type=_delta,
        metavar="DELTA",
        help="calculate the size that shows a difference of DELTA in the deciding metric with a probability of 80 %%",
    )
    parser.add_argument(
        "--split",
        metavar="A:B",
        default="",
        help="how the traffic is split, such as 90:10; default: 50:50 for shadows and for groups of about equal size",
    )
    parser.add_argument(
        "--errors",
        type=_count,
        default=0,
        metavar="N",
        help=f"list up to N (at most {MOST_ROWS}) wrong predictions of each, the most wrong first",
    )
    add_span(parser)
    add_mature(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--html", metavar="FILE", help="write one self-contained page")


def run(arguments: argparse.Namespace) -> int:
    """Print the comparison. Status 0: they differ, 1: no difference could be shown, 2: invalid arguments."""
    settings = Settings.from_env()
    comparison = Comparison(
        arguments.a,
        arguments.b,
        arguments.target,
        arguments.by,
        arguments.metric,
        arguments.start,
        arguments.end,
        arguments.by_date,
        arguments.pair,
        arguments.form,
        arguments.detect,
        arguments.split,
        mature=arguments.mature,
        where=tuple(arguments.where),
    )
    engine = quiet_engine(settings)
    found = compare(engine, settings, comparison)
    wrong = compared_errors(engine, settings, comparison, found, arguments.errors) if arguments.errors else {}
    if arguments.html:
        from request_logger.analytics.page import comparison_page  # noqa: PLC0415 - only a page needs its templates

        write_page(Path(arguments.html), comparison_page, found)
    else:
        known = {**found, **({"errors": wrong} if wrong else {})}
        print_lines([json.dumps(known, indent=2)] if arguments.json else [*lines(found), *_errors(wrong)])
    return int(not found["verdict"]["differ"])


def _errors(wrong: Mapping[str, Report]) -> Iterator[str]:
    for name, found in wrong.items():
        yield ""
        yield f"{name}:"
        yield from error_lines(found)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= MOST_ROWS):
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {MOST_ROWS}, found {text!r}")
    return int(text)


def _delta(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return number


def lines(found: Report) -> Iterator[str]:
    """Yield the comparison as lines of text."""
    yield heading(head(found))
    yield table(header(found), list(rows(found)))
    yield ""
    if classes := list(class_rows(found)):
        yield table(CLASS_HEADER, classes)
        yield ""
    yield from notes(found)
    yield from (warning(f"{each}.") for each in found.get("warnings", ()))
    yield verdict_line(found["verdict"], (found["a"]["name"], found["b"]["name"]))
    if "left_out" in found:
        yield left_out_note(found["left_out"])
