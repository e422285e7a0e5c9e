"""`request-logger demo`."""

from __future__ import annotations

import argparse
import functools

from request_logger.demo.run import run as run_demo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whether to stay, and with which server."""
    parser.add_argument("--once", action="store_true", help="end after the figures instead of waiting for Ctrl-C")
    parser.add_argument("--url", help="a request logger that runs already, with the engine of ELASTICSEARCH_HOST")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo."""
    return run_demo(once=arguments.once, url=arguments.url, say=functools.partial(print, flush=True))
