"""`request-logger demo`."""

from __future__ import annotations

import argparse
import functools

from request_logger.demo import run as run_demo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whether to stay."""
    parser.add_argument("--once", action="store_true", help="end after the figures instead of waiting for Ctrl-C")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo."""
    return run_demo(once=arguments.once, say=functools.partial(print, flush=True))
