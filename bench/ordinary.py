"""`python -m bench.ordinary`: what a prediction costs in ordinary traffic, and how long its events wait.

Traffic as most deployments have it: 200 predictions per second, far below the logger's limit, from senders with 10
connections; the response follows its request after 5 ms, and one prediction in three gets feedback 6 s later. The
engine and the logger run on this machine, with the logger's default settings.

With `--before COMMIT`, that commit's code runs in turns with the code here, on the same engine. CPU is that of the
engine's and the logger's processes. Afterwards the engine's documents are compared with the acknowledged events.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench import cost_lanes
from bench.cost_table import add_common_arguments, at_least, ended, measured
from bench.ordinary_traffic import Traffic
from bench.shapes import PROTOCOLS, SELDON, columns
from request_logger.errors import CommandError


def main(given: Sequence[str] | None = None) -> int:
    """Measure, check and print; status 1 if an acknowledged event is missing or a document is duplicated."""
    usual = Traffic()
    parser = argparse.ArgumentParser(prog="python -m bench.ordinary", description="Costs in ordinary traffic.")
    add_common_arguments(parser)
    parser.add_argument(
        "--columns", type=int, nargs="+", default=[37], help="columns of a request; several run in turns (default: 37)"
    )
    parser.add_argument("--protocol", choices=PROTOCOLS, default=SELDON, help="kind of bodies (default: seldon)")
    parser.add_argument("--rate", type=float, default=usual.rate, help="predictions per second (default: 200)")
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="seconds per run (default: 20)")
    parser.add_argument("--connections", type=int, default=usual.connections, help="sender connections (default: 10)")
    parser.add_argument(
        "--new-connections", type=float, default=0.0, metavar="SHARE", help="events sent over a new one (default: 0)"
    )
    arguments = parser.parse_args(given)
    traffic = Traffic(
        rate=arguments.rate,
        seconds=arguments.seconds,
        connections=arguments.connections,
        new_connections=arguments.new_connections,
    )
    lane = cost_lanes.ordinary(traffic)
    work = [(columns(count, arguments.protocol), lane, traffic.predictions) for count in arguments.columns]
    try:
        at_least(1, rate=arguments.rate, seconds=arguments.seconds, connections=arguments.connections)
        at_least(1, columns=min(arguments.columns))
        at_least(0, new_connections=arguments.new_connections)
        return ended(measured(arguments, work))
    except CommandError as error:
        print(f"bench.ordinary: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
