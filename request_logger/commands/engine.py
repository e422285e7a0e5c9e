"""`request-logger engine`."""
# ruff: noqa: T201  # printing is what a command is for

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path

from request_logger.embedded_engine import KINDS, start_engine
from request_logger.errors import CommandError
from request_logger.signals import stopped_by_signals, wait_for_stop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `start_engine` takes."""
    parser.add_argument("--kind", choices=list(KINDS), default="opensearch", help="which engine (default: opensearch)")
    parser.add_argument("--port", type=int, help="HTTP port of the first node (default: a free one)")
    parser.add_argument("--nodes", type=int, default=1, help="nodes of the cluster, OpenSearch only (default: 1)")
    parser.add_argument("--heap", default="512m", help="size of Java's heap (default: 512m)")
    parser.add_argument("--data-dir", type=Path, help="folder that keeps the data (default: a temporary one)")


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
