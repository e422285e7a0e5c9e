"""`request-logger audit`: list the audited predictions that still lack a truth."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from request_logger.analytics.conditions import where
from request_logger.analytics.feedback.audit import find_audit
from request_logger.analytics.feedback.audit_list import COLUMNS, count_lacking, lacking
from request_logger.analytics.formatting import number
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import find_scope
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.selection_args import add_period, add_target
from request_logger.commands.text_table import table
from request_logger.common.spreadsheets import without_formula
from request_logger.settings import Settings
from request_logger.store.excluded_indices import left_out_note

# As many as a terminal can be scrolled through, and as people label in some days.
_MOST = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_period(parser)
    parser.add_argument(
        "--limit", type=_limit, default=_MOST, metavar="N", help=f"list at most N, the oldest first (default: {_MOST})"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--csv", action="store_true", help="print CSV; request_id is what `request-logger feedback` needs"
    )
    form.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the list. Status 0: printed, 1: no prediction is in the audit, 2: no engine, or wrong usage."""
    settings = Settings.from_env()
    engine = quiet_engine(settings)
    scope = find_scope(engine, settings, arguments.target, arguments.start, arguments.end)
    runner = QueryRunner(engine)
    scope = where(runner, scope, arguments.where)

    def read() -> tuple[int, list[dict[str, Any]]] | None:
        audit = find_audit(runner, scope)
        if audit is None:
            return None
        return count_lacking(runner, audit.scope), list(lacking(runner, audit.scope, arguments.limit))

    found = runner.settled(read, scope.indices)
    if runner.left_out.reasons:
        print(left_out_note(runner.left_out.as_json()), file=sys.stderr)
    if found is None:
        print("no prediction is in an audit: set AUDIT_RATE of the logger that stores them", file=sys.stderr)
        return 1
    total, rows = found
    if arguments.json:
        print(json.dumps({"lacking": total, "predictions": rows}, indent=2))
    elif arguments.csv:
        _write_csv(rows)
    else:
        _print_table(rows)
    if not arguments.json and total > len(rows):
        print(f"and {total - len(rows):,} more: --limit", file=sys.stderr)
    return 0


def _write_csv(rows: Iterable[Mapping[str, Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in COLUMNS])


def _cell(value: Any) -> Any:
    """Return a cell; a text that a spreadsheet would compute is marked as text, as in an export."""
    if isinstance(value, list):
        value = json.dumps(value)
    return without_formula(value) if isinstance(value, str) else value


def _print_table(rows: Iterable[Mapping[str, Any]]) -> None:
    shown = ("request_id", "time", "deployment", "predictor", "label", "probability")
    cells = [[_text(row.get(name)) for name in shown] for row in rows]
    if cells:
        print(table([name.replace("_", " ") for name in shown], cells, indent=""))
    else:
        print("Every audited prediction has a truth.")


def _text(value: Any) -> str:
    return number(value) if isinstance(value, float) else "-" if value is None else str(value)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a whole number over 0, found {text!r}")
    return int(text)
