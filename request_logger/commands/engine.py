"""`request-logger engine`."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path

from request_logger.embedded_engine import KINDS, start_engine
from request_logger.errors import CommandError
from request_logger.signals import stopped_by_signals, wait_for_stop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--kind", choices=list(KINDS), default="opensearch", help="which engine (default: opensearch)")
    parser.add_argument("--port", type=int, help="HTTP port of the first node (default: a free port)")
    parser.add_argument("--nodes", type=int, default=1, help="number of cluster nodes, OpenSearch only (default: 1)")
    parser.add_argument("--heap", default="512m", help="size of the Java heap (default: 512m)")
    parser.add_argument("--data-dir", type=Path, help="folder for the data (default: a temporary folder)")


def run(arguments: argparse.Namespace) -> int:
    """Run an engine until Ctrl-C or SIGTERM; its URL is the only line on standard output."""
    with stopped_by_signals():
        try:
            engine = start_engine(
                arguments.kind,
                port=arguments.port,
                nodes=arguments.nodes,
                heap=arguments.heap,
                data_dir=arguments.data_dir,
                progress=functools.partial(print, file=sys.stderr, flush=True),
            )
        except ValueError as error:
            raise CommandError(str(error)) from None
        with engine:
            print(engine.url, flush=True)
            print(f"{engine.kind} {engine.version}; Ctrl-C stops it", file=sys.stderr, flush=True)
            return wait_for_stop(lambda: engine.running)
