"""Arguments that select stored documents, or indices."""

from __future__ import annotations

import argparse

from request_logger.analytics.selection import Selection


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the arguments; by default they select all predictions."""
    group = parser.add_argument_group("which predictions (default: all)")
    group.add_argument("--index", metavar="NAMES", default="", help="index names or globs, separated by commas")
    for name in ("namespace", "deployment", "predictor", "model"):
        group.add_argument(f"--{name}", metavar="NAME", default="", help=f"only this {name}")
    group.add_argument(
        "--from", dest="since", metavar="TIME", default="", help="start of the time range: 2026-01-31, now-7d, ..."
    )
    group.add_argument("--to", dest="until", metavar="TIME", default="", help="end of the time range, exclusive")


def selection_of(arguments: argparse.Namespace) -> Selection:
    """Return the selection that the arguments specify."""
    return Selection(**{name: getattr(arguments, name) for name in Selection.__dataclass_fields__})


def add_pattern(parser: argparse.ArgumentParser) -> None:
    """Add the argument ``pattern``: the indices that a command is about."""
    parser.add_argument(
        "pattern",
        nargs="?",
        help="index names or globs, separated by commas (default: all that the logger writes, and INDEX_NAME)",
    )
