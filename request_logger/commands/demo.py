"""`request-logger demo`: run an engine and a server, replay traffic, and show the metrics."""

from __future__ import annotations

import argparse
import functools

from request_logger.demo.run import run as run_demo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--once", action="store_true", help="exit after the figures instead of waiting for Ctrl-C")
    parser.add_argument("--url", help="use a running request logger, with the engine of ELASTICSEARCH_HOST")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo. Status 1: a figure differs from scikit-learn's, or the demo failed."""
    return run_demo(once=arguments.once, url=arguments.url, say=functools.partial(print, flush=True))
