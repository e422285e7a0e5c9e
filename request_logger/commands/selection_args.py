"""The arguments that say which stored documents a command is about, and how to reach their engine."""

from __future__ import annotations

import argparse

from request_logger.analytics.selection import Selection


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the arguments; without any, all predictions are meant."""
    group = parser.add_argument_group("which predictions (default: all)")
    group.add_argument("--index", metavar="NAMES", default="", help="indices, with * and commas")
    for name in ("namespace", "deployment", "predictor", "model"):
        group.add_argument(f"--{name}", metavar="NAME", default="", help=f"of this {name} alone")
    group.add_argument("--from", dest="since", metavar="TIME", default="", help="from 2026-01-31, now-7d, ... on")
    group.add_argument("--to", dest="until", metavar="TIME", default="", help="before this time")


def selection_of(arguments: argparse.Namespace) -> Selection:
    """Give what the arguments say."""
    return Selection(**{name: getattr(arguments, name) for name in Selection.__dataclass_fields__})
