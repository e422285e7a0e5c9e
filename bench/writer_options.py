"""`python -m bench.writer_options`: what the writer's options save: the same load with all of them, and without each.

The options are waiting for other events (LINGER_MS), the tokens of a server's workers, the adaptive size of a _bulk,
and the policy by which a new document is created without reading it. The loads are ordinary traffic (`bench.ordinary`)
and a full load over 16 connections. CPU and numbers of requests are compared, which other work on the machine changes
little. All variants run in turns on one engine, one server at a time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench.cost_lanes import Lane, ordinary, single
from bench.cost_table import at_least, median, warm_up
from bench.engines import Client, engine_url
from bench.ordinary_traffic import Traffic
from bench.probe import Probe, Row
from bench.shapes import SELDON, Shape, columns
from bench.versions import ROOT, Side, Version, installed_by, templates
from bench.writer_without import OPTIONS
from request_logger.demo.local_server import LocalServer, engine_settings
from request_logger.errors import CommandError

ALL = "all options"
_COLUMNS = 37
_CONNECTIONS = 16
_PREDICTIONS = 1_000
# As many workers as by default, of which tokens are a matter. A busy machine must not turn events away.
_SETTINGS = {"GUNICORN_WORKERS": "3", "STORE_TIMEOUT_SECONDS": "120", "ELASTICSEARCH_TIMEOUT_SECONDS": "120"}
HEADINGS = (
    *("load", "variant", "logger CPU ms", "engine CPU ms", "_bulks", "documents per _bulk", "writes", "p99 ms"),
    "missing",
)


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print a table, figures per prediction; status 1 if an acknowledged event is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.writer_options", description="What the options save.")
    parser.add_argument("options", nargs="*", metavar="option", help=f"some of {', '.join(OPTIONS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="runs per row, of which the median counts (default: 3)")
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds of ordinary traffic (default: 20)")
    parser.add_argument("--warm-up", type=float, default=60.0, help="maximum seconds of warm-up (default: 60)")
    arguments = parser.parse_args(given)
    unknown = [name for name in arguments.options if name not in OPTIONS]
    if unknown:
        parser.error(f"no option {', '.join(unknown)}: expected some of {', '.join(OPTIONS)}")
    try:
        at_least(1, rounds=arguments.rounds, seconds=arguments.seconds)
        rows = measured(arguments)
    except CommandError as error:
        print(f"bench.writer_options: {error}", file=sys.stderr)
        return 2
    print_table(rows)
    return int(any(row.missing or row.duplicates or row.problems for row in rows))


def measured(arguments: argparse.Namespace) -> list[Row]:
    """Run every variant under each load, in turns; return the medians. Raises CommandError."""
    traffic = Traffic(seconds=arguments.seconds)
    lanes: list[tuple[Lane, int]] = [(ordinary(traffic), traffic.predictions), (single(_CONNECTIONS), _PREDICTIONS)]
    shape = columns(_COLUMNS, SELDON)
    variants = [(ALL, ()), *((f"no {option}", (option,)) for option in arguments.options or OPTIONS)]
    found: dict[tuple[int, str], list[Row]] = {}
    with engine_url() as url:
        probe = Probe(url)
        for turn in range(arguments.rounds):
            # The first one of a turn pays for what all need, such as a merge that is due.
            for label, without in variants if turn % 2 == 0 else variants[::-1]:
                seconds = arguments.warm_up if not found else 0.0
                for number, row in enumerate(_run(probe, label, without, lanes, shape, seconds)):
                    found.setdefault((number, label), []).append(row)
    order = [label for label, _ in variants]
    return [median(rows) for _, rows in sorted(found.items(), key=lambda pair: (pair[0][0], order.index(pair[0][1])))]


def _run(
    probe: Probe, label: str, without: Sequence[str], lanes: Sequence[tuple[Lane, int]], shape: Shape, seconds: float
) -> list[Row]:
    """Start a server without some options, warm it up for so many seconds at most, and run the loads."""
    version = Version(label, ROOT, "the code here")
    environment = version.environment(**{**engine_settings(probe.url), **_SETTINGS})
    engine = Client(probe.url)
    python = ("-P", "-m", "bench.writer_without", *without)
    # All variants have the same templates, which the first one installs.
    installed = templates(engine) or installed_by(version, engine, environment)
    with LocalServer(environment, python=python, folder=ROOT) as server:
        side = Side(version, server, engine, installed, environment)
        warm_up(probe, [side], shape, seconds)
        rows = [lane(probe, side, shape, predictions) for lane, predictions in lanes]
    for row in rows:
        print(" ".join(cells(row)), *row.problems, file=sys.stderr, flush=True)
    return rows


def cells(row: Row) -> tuple[str, ...]:
    """Return the cells of a row: see HEADINGS."""
    figures = [f"{value:.2f}" for value in (row.logger_ms, row.engine_ms)]
    counts = [f"{row.bulks:.3f}", f"{row.changes_per_bulk:.1f}", f"{row.writes:.2f}", f"{row.p99:.0f}"]
    return (row.lane, row.side, *figures, *counts, f"{row.missing:,}")


def print_table(rows: Sequence[Row]) -> None:
    """Print the table as Markdown."""
    print("| " + " | ".join(HEADINGS) + " |")
    print("|" + "---|" * 2 + "---:|" * (len(HEADINGS) - 2))
    for row in rows:
        print("| " + " | ".join(cells(row)) + " |")


if __name__ == "__main__":
    sys.exit(main())
