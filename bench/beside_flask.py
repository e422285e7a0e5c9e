"""`python -m bench.beside_flask`: what an event costs over HTTP, compared with a Flask app that only parses its JSON.

Both get the same small events over 16 connections that stay open, and over a new connection for each event. The logger
has its default settings with one worker per core, as bare Flask has (gunicorn's gthread), and an engine in memory
(`bench.memory_engine`): a Java engine would take the cores on which the servers are compared, and a minute to settle.
All take turns; each row is the run with the least CPU time, since whatever else runs on the machine only adds to it.

CPU is that of the server's processes per event. --before COMMIT measures that commit's code, too.
"""

from __future__ import annotations

import argparse
import os
import sys
import uuid
from collections.abc import Sequence
from contextlib import ExitStack

from bench import load
from bench.cost_table import at_least, table
from bench.first import CONNECTIONS, CORES, make_events
from bench.measure import Measured, measure
from bench.memory_engine import memory_engine
from bench.speed import BARE
from bench.versions import BEFORE, Version, versions
from request_logger.demo.local_server import LocalServer, engine_settings
from request_logger.errors import CommandError

KEPT, NEW = "connections stay open", "a connection per event"
HEADINGS = ("server", "connections", "events/s", "p50 ms", "p99 ms", "CPU µs per event", "CPU / bare Flask's")
_FLASK = "bare Flask"
_SERVE = ("-P", "-m", "request_logger.cli", "serve")
# The client's requests must not time out on a busy machine.
_PATIENT = {"STORE_TIMEOUT_SECONDS": "120", "ELASTICSEARCH_TIMEOUT_SECONDS": "120", "GUNICORN_WORKERS": str(CORES)}
Rows = dict[tuple[str, str], Measured]


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.beside_flask", description="The CPU of an event over HTTP.")
    parser.add_argument("--predictions", type=int, default=1000, help="predictions per run (default: 1000)")
    parser.add_argument("--rounds", type=int, default=5, help="runs per row (default: 5)")
    parser.add_argument("--before", metavar="COMMIT", help="measure this commit's code, too")
    parser.add_argument("--packages", default="", help="a folder with packages that only that commit needs")
    arguments = parser.parse_args(given)
    try:
        at_least(1, predictions=arguments.predictions, rounds=arguments.rounds)
        with ExitStack() as stack:
            codes = stack.enter_context(versions(arguments.before))
            servers = {_label(code): _logger(code, arguments.packages, stack) for code in codes}
            servers[_FLASK] = stack.enter_context(LocalServer({}, python=BARE))
            rows = measured(servers, arguments.predictions, arguments.rounds)
    except CommandError as error:
        print(f"bench.beside_flask: {error}", file=sys.stderr)
        return 2
    print(table(HEADINGS, [[*key, *_cells(key, rows)] for key in rows], text_columns=2))
    return 0


def _label(code: Version) -> str:
    return f"before ({code.commit.partition(' ')[0]})" if code.label == BEFORE else "request-logger"


def _logger(code: Version, packages: str, stack: ExitStack) -> LocalServer:
    url = stack.enter_context(memory_engine())
    settings = code.environment(**engine_settings(url), **_PATIENT)
    if code.label == BEFORE and packages:
        settings["PYTHONPATH"] += f"{os.pathsep}{packages}"
    return stack.enter_context(LocalServer(settings, python=_SERVE, folder=code.folder))


def measured(servers: dict[str, LocalServer], predictions: int, rounds: int) -> Rows:
    """Run all rows in turns, after one run that doesn't count; return the run of each with the least CPU time."""
    found: Rows = {}
    for turn in range(-1, rounds):
        for connections in (KEPT, NEW):
            for label, server in servers.items():
                events = make_events(predictions, uuid.uuid4().hex[:8], server.url)
                requests = events if connections == KEPT else list(map(load.closing, events))
                run = measure(server.url, requests, server.pid, (), connections=CONNECTIONS)
                if run.failed:
                    raise CommandError(f"{label}: {run.failed} events were not acknowledged")
                known = found.get((label, connections))
                if turn >= 0 and (known is None or run.logger_cpu < known.logger_cpu):
                    found[label, connections] = run
    return found


def _cells(key: tuple[str, str], rows: Rows) -> list[str]:
    run, bare = rows[key], rows[_FLASK, key[1]]
    figures = (run.p50 * 1000, run.p99 * 1000)
    each = [found.logger_cpu / found.events * 1e6 for found in (run, bare)]
    return [f"{run.rate:,.0f}", *(f"{figure:.1f}" for figure in figures), f"{each[0]:,.0f}", f"{each[0] / each[1]:.2f}"]


if __name__ == "__main__":
    sys.exit(main())
