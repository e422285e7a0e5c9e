"""`request-logger export`: write stored pairs to Parquet or CSV."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.near import tell_near
from request_logger.commands.selection_args import add_selection, selection_of
from request_logger.errors import CommandError
from request_logger.jobs.export import Export, ExportError, write_csv, write_parquet
from request_logger.settings import Settings
from request_logger.store.client.scan import ScanError
from request_logger.store.excluded_indices import left_out_note

PARQUET, CSV = "parquet", "csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", help="FILE.parquet or FILE.csv; - is standard output, as CSV")
    add_selection(parser)
    parser.add_argument("--format", choices=(PARQUET, CSV), help="default: from the file's name")
    parser.add_argument(
        "--columns",
        metavar="NAMES",
        default="",
        help="names or globs, separated by commas, such as truth,metrics.* (default: all)",
    )
    parser.add_argument("--all", action="store_true", help="include predictions without feedback")


def run(arguments: argparse.Namespace) -> int:
    """Write the file. Status 0: written, 2: the search engine does not respond, or wrong usage."""
    settings = Settings.from_env()
    path = Path(arguments.file)
    to_stdout = arguments.file == "-"
    form = arguments.format or (CSV if to_stdout else path.suffix.lower().removeprefix("."))
    if form not in (PARQUET, CSV):
        raise CommandError(f"{path}: expected a name that ends in .parquet or .csv, or --format")
    if to_stdout and form == PARQUET:
        raise CommandError("-: expected a file's name: Parquet can't go to standard output")
    columns = tuple(filter(None, (name.strip() for name in arguments.columns.split(","))))
    engine = quiet_engine(settings)
    export = Export(engine, settings, selection_of(arguments, engine, settings), columns, arguments.all)
    try:
        if to_stdout:
            write_csv(export, sys.stdout.buffer)
            _tell(export)
            return 0
        rows = write_parquet(export, path) if form == PARQUET else write_csv(export, path)
    except (ExportError, ScanError) as error:
        raise CommandError(str(error)) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"{path}: can't be written: {error.strerror or error}") from None
    print(f"{path}: {rows:,} rows")
    if not rows:
        tell_near(engine, settings, arguments.target)
    _tell(export)
    return 0


def _tell(export: Export) -> None:
    if export.left_out:
        print(left_out_note(export.left_out), file=sys.stderr)
