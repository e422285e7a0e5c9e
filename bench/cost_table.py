"""The runs of `bench.cost` and `bench.ordinary`: both sides in turns, their options, and the table of their figures."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

from bench import load
from bench.cost_lanes import Lane
from bench.engines import engine_url
from bench.first import PARTS
from bench.measure import compiler_cpu, cpu
from bench.probe import Probe, Row
from bench.shapes import Shape
from bench.versions import AFTER, BEFORE, Side, sides, versions
from request_logger.errors import CommandError

# Below this share, the engine's compiler doesn't change the result much.
_COMPILER_SHARE = 0.15
_WARM_PREDICTIONS = 300
_WARM_CONNECTIONS = 16

HEADINGS = (
    *("body of a request", "lane", "code", "events/s", "engine CPU ms per prediction", "of it compiler"),
    *("logger CPU ms per prediction", "p50 ms", "p99 ms", "p99 ms since due", "_bulks per prediction"),
    *("documents per _bulk", "writes per prediction", "bytes per prediction", "with overwritten copies", "missing"),
    "duplicates",
)
_TEXT_COLUMNS = 3
# What is compared between two versions: heading -> field.
_RATIOS = {
    "events/s": "rate",
    "engine CPU": "engine_ms",
    "logger CPU": "logger_ms",
    "p99": "p99",
    "bytes": "bytes_merged",
    "with overwritten copies": "bytes_with_overwritten",
}


def add_common_arguments(parser: argparse.ArgumentParser, *, rounds: int = 1) -> None:
    """Declare the options of both commands."""
    parser.add_argument("--before", metavar="COMMIT", help="run this commit's code in turns with the code here")
    parser.add_argument(
        "--rounds", type=int, default=rounds, help=f"runs per row, of which the median counts (default: {rounds})"
    )
    parser.add_argument("--warm-up", type=float, default=60.0, help="maximum seconds of warm-up (default: 60)")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings of the code here")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file")


def measured(arguments: argparse.Namespace, work: Sequence[tuple[Shape, Lane, int]]) -> list[Row]:
    """Run shapes in lanes with so many requests, all sides in turns; return the median of each row.

    Raises CommandError if a version can't be run, or for invalid options.
    """
    at_least(1, rounds=arguments.rounds)
    at_least(0, warm_up=arguments.warm_up)
    own = assigned(arguments.set)
    found: dict[tuple[int, str], list[Row]] = {}
    with versions(arguments.before) as codes, engine_url() as url, sides(codes, url, after=own) as running:
        probe = Probe(url)
        for side in running:
            print(f"{side.label}: {side.version.commit}", file=sys.stderr)
        warm_up(probe, running, work[0][0], arguments.warm_up)
        for turn in range(arguments.rounds):
            for number, (shape, lane, predictions) in enumerate(work):
                # The first one of a turn pays for what both need, such as a merge that is due.
                for side in running if turn % 2 == 0 else reversed(running):
                    row = lane(probe, side, shape, predictions)
                    found.setdefault((number, side.label), []).append(row)
                    print(" ".join(cells(row)), file=sys.stderr, flush=True)
                    # After each row, so that an interrupted run keeps its figures.
                    save(medians(found), arguments.json)
    return medians(found)


def medians(found: Mapping[tuple[int, str], Sequence[Row]]) -> list[Row]:
    """Return the median of each row, by its number and side; the older version comes first."""
    return [median(rows) for _, rows in sorted(found.items(), key=lambda pair: (pair[0][0], pair[0][1] == AFTER))]


def save(rows: Sequence[Row], file: str | None) -> None:
    """Write the figures to a file, if there is one."""
    if file:
        Path(file).write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


def warm_up(probe: Probe, running: Sequence[Side], shape: Shape, seconds: float) -> None:
    """Send uncounted events to all sides until the engine's compiler has settled, at most so many seconds.

    Raises CommandError if a side acknowledges nothing.
    """
    end, share = time.monotonic() + seconds, 1.0
    while share > _COMPILER_SHARE and time.monotonic() < end:
        before = compiler_cpu(probe.java), cpu(probe.java)
        for side in running:
            deployment, url = f"w{uuid.uuid4().hex[:8]}", side.server.url
            side.create(shape.index(deployment))
            events = [
                shape.event(url, deployment, number, part) for number in range(_WARM_PREDICTIONS) for part in PARTS
            ]
            if load.run(url, events, connections=_WARM_CONNECTIONS).failed == len(events):
                raise CommandError(f"{side.label} ({side.version.commit}): no event was acknowledged")
            probe.engine.drop(shape.index(deployment))
        share = (compiler_cpu(probe.java) - before[0]) / max(cpu(probe.java) - before[1], 1e-9)
    print(f"warmed up: the compiler takes {share:.0%} of the engine's CPU time", file=sys.stderr, flush=True)


def median(rows: Sequence[Row]) -> Row:
    """Return the median of each figure of several runs; problems and losses are those of all runs."""
    values = {
        spec.name: statistics.median(getattr(row, spec.name) for row in rows)
        for spec in fields(Row)
        if spec.type == "float"
    }
    return replace(
        rows[0],
        **values,
        missing=sum(row.missing for row in rows),
        duplicates=sum(row.duplicates for row in rows),
        problems=tuple(problem for row in rows for problem in row.problems),
    )


def ended(rows: Sequence[Row]) -> int:
    """Print the tables and the problems; return the exit status."""
    print(table(HEADINGS, [cells(row) for row in rows]))
    compared = ratios(rows)
    if compared:
        print(f"\n{compared}")
    problems = [f"{row.side}, {row.body}, {row.lane}: {problem}" for row in rows for problem in row.problems]
    for problem in problems:
        print(f"FAILED: {problem}")
    return int(bool(problems))


def cells(row: Row) -> list[str]:
    """Return a row's figures as text, in the order of HEADINGS."""
    return [
        f"{row.body}, {row.body_bytes:,} bytes",
        row.lane,
        row.side,
        f"{row.rate:,.0f}",
        *(f"{value:.3f}" for value in (row.engine_ms, row.compiler_ms, row.logger_ms)),
        *(f"{value:.1f}" if value else "" for value in (row.p50, row.p99, row.p99_since_due)),
        *(f"{value:.2f}" for value in (row.bulks, row.changes_per_bulk, row.writes)),
        *(f"{value:,.0f}" for value in (row.bytes_merged, row.bytes_with_overwritten)),
        str(row.missing),
        str(row.duplicates),
    ]


def ratios(rows: Sequence[Row]) -> str:
    """Return the figures of the code here divided by those of the older one as a table, empty if only one ran."""
    by_side: dict[str, dict[tuple[str, str], Row]] = {AFTER: {}, BEFORE: {}}
    for row in rows:
        by_side[row.side][row.body, row.lane] = row
    lines = []
    for key, old in by_side[BEFORE].items():
        new = by_side[AFTER].get(key)
        if new:
            pairs = [(getattr(new, name), getattr(old, name)) for name in _RATIOS.values()]
            lines.append([*key, "after / before", *(f"{now / then:.2f}" if then else "" for now, then in pairs)])
    return table(("body of a request", "lane", "", *_RATIOS), lines) if lines else ""


def table(headings: Sequence[str], lines: Sequence[Sequence[str]], *, text_columns: int = _TEXT_COLUMNS) -> str:
    """Return a Markdown table; all but the first columns are numbers."""
    marks = ["---" if number < text_columns else "---:" for number in range(len(headings))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, marks, *lines))


def at_least(minimum: float, **values: float) -> None:
    """Check the values of options by their names. Raises CommandError for one that is too small, or no number."""
    for name, value in values.items():
        if not minimum <= value < math.inf:
            raise CommandError(f"--{name.replace('_', '-')}: expected at least {minimum}, found {value}")


def assigned(texts: Sequence[str]) -> dict[str, str]:
    """Return NAME=VALUE arguments as a mapping. Raises CommandError for one without an equals sign."""
    for text in texts:
        if not text.partition("=")[1]:
            raise CommandError(f"--set: expected NAME=VALUE, found {text!r}")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}
