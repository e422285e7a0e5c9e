"""`request-logger errors`: list the predictions that were wrong, or those behind a cell of the confusion matrix."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from request_logger.analytics.wrong_predictions import DEFAULT_ROWS, MOST_ROWS, Options, Order, wrong_predictions
from request_logger.analytics.wrong_table import wrong_table
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.selection_args import add_mature, add_span, add_target
from request_logger.commands.text_table import table
from request_logger.common.spreadsheets import without_formula
from request_logger.settings import Settings
from request_logger.store.ports import EngineReader

Report = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    parser.add_argument("--truth", metavar="CLASS", default="", help="only predictions with this truth")
    parser.add_argument("--answer", metavar="CLASS", default="", help="only predictions with this answer")
    parser.add_argument(
        "--class", dest="label", metavar="CLASS", default="", help="only wrong predictions with this truth or answer"
    )
    parser.add_argument("--scorer", metavar="NAME", default="", help="default: that of the most documents")
    parser.add_argument(
        "--order", type=Order, choices=list(Order), default=Order.WORST, help="the most wrong first, or the newest"
    )
    parser.add_argument(
        "--limit", type=_limit, default=DEFAULT_ROWS, metavar="N", help=f"list at most N (default: {DEFAULT_ROWS})"
    )
    add_span(parser)
    add_mature(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV, with the index and the id of each document")


def run(arguments: argparse.Namespace) -> int:
    """Print the list. Status 0: printed, 1: there is none, 2: invalid arguments."""
    settings = Settings.from_env()
    options = Options(
        arguments.target,
        arguments.start,
        arguments.end,
        arguments.by_date,
        tuple(arguments.where),
        arguments.mature,
        arguments.truth,
        arguments.answer,
        arguments.label,
        arguments.scorer,
        arguments.order,
    )
    found = _read(quiet_engine(settings), settings, options, arguments.limit)
    if arguments.json:
        print(json.dumps(found, indent=2))
    elif arguments.csv:
        _write_csv(found)
    else:
        print("\n".join(lines(found)))
    return int(not found["documents"])


def _read(engine: EngineReader, settings: Settings, options: Options, limit: int) -> Report:
    """Return the first ``limit`` predictions, page by page."""
    found = wrong_predictions(engine, settings, replace(options, limit=min(limit, MOST_ROWS)))
    while "next" in found and len(found["documents"]) < limit:
        left = limit - len(found["documents"])
        page = wrong_predictions(
            engine, settings, replace(options, after=found.pop("next"), limit=min(left, MOST_ROWS))
        )
        found["documents"] += page["documents"]
        found |= {"next": page["next"]} if "next" in page else {}
    return found


def lines(found: Report) -> Iterator[str]:
    """Yield the list as lines of text."""
    shown = wrong_table(found)
    yield f"{shown.title}: {shown.total:,}"
    if shown.rows:
        yield table([*shown.header, "id"], [[*row.cells, row.id] for row in shown.rows], indent="")
    if shown.total > len(shown.rows):
        yield f"and {shown.total - len(shown.rows):,} more: --limit"
    yield from (f"Note: {note}" for note in found.get("notes", ()))


def _write_csv(found: Report) -> None:
    shown = wrong_table(found)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["index", "id", *map(without_formula, shown.header)])
    for row in shown.values:
        writer.writerow([without_formula(cell) if isinstance(cell, str) else cell for cell in row])


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a whole number over 0, found {text!r}")
    return int(text)
