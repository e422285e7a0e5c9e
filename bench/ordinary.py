"""`python -m bench.ordinary`: what a prediction costs in ordinary traffic, and how long its events wait.

Traffic as most deployments have it: 200 predictions per second, far below the logger's limit, from senders with 10
connections; the response follows its request after 5 ms, and one prediction in three gets feedback 6 s later. The
engine and the logger run on this machine, with the logger's default settings.

With `--before COMMIT`, that commit's code runs in turns with the code here, on the same engine. CPU is that of the
engine's and the logger's processes. Afterwards the engine's documents are compared with the acknowledged events.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import requests
from prometheus_client.parser import text_string_to_metric_families

from bench import load, open_loop
from bench.engines import Client, engine_url
from bench.measure import compiler_cpu, cpu, engine_processes_at, processes
from bench.shapes import PROTOCOLS, SELDON, Shape, columns
from bench.stored import compare, disk, writes
from bench.versions import Side, sides, versions
from request_logger.errors import CommandError

FEEDBACK_EVERY = 3
# Below this share, the engine's compiler doesn't change the result much.
_COMPILER_SHARE = 0.15
_WARM_PREDICTIONS = 300


@dataclass(frozen=True, slots=True)
class Traffic:
    """The traffic. ``rate`` is in predictions per second; times are in seconds."""

    rate: float = 200.0
    seconds: float = 20.0
    connections: int = 10
    response_after: float = 0.005
    feedback_after: float = 6.0
    new_connections: float = 0.0
    timeout: float = 60.0

    def events(self, url: str, shape: Shape, deployment: str) -> list[open_loop.Due]:
        """Return the events of all predictions, and when they are due."""
        found = []
        for number in range(round(self.rate * self.seconds)):
            start = number / self.rate
            times = {"request": start, "response": start + self.response_after}
            if number % FEEDBACK_EVERY == 0:
                times["feedback"] = start + self.feedback_after
            found += [open_loop.Due(at, shape.event(url, deployment, number, part)) for part, at in times.items()]
        return found


@dataclass(frozen=True, slots=True)
class Row:
    """One run. CPU is in milliseconds per prediction, times are in milliseconds, bytes are per prediction."""

    side: str
    body: str
    predictions: int
    events: int
    acknowledged: int
    engine_ms: float
    compiler_ms: float
    logger_ms: float
    p50: float
    p99: float
    p99_since_due: float
    bulks: float
    changes_per_bulk: float
    writes: float
    bytes_merged: float
    bytes_with_overwritten: float
    missing: int
    duplicates: int
    problems: tuple[str, ...] = ()


def run(engine: Client, java: Sequence[psutil.Process], side: Side, shape: Shape, traffic: Traffic) -> Row:
    """Send the traffic to one side, count what the engine has afterwards, and drop its index."""
    deployment = f"o{uuid.uuid4().hex[:8]}"
    index = shape.index(deployment)
    side.create(index)
    url = side.server.url
    events = traffic.events(url, shape, deployment)
    served = processes(side.server.pid)
    before, bulks = (cpu(java), compiler_cpu(java), cpu(served)), bulk_metrics(url)
    answers = open_loop.send(
        url,
        events,
        connections=traffic.connections,
        timeout=traffic.timeout,
        new_connections=traffic.new_connections,
    )
    drained(url, engine, index)
    used = [now - then for now, then in zip((cpu(java), compiler_cpu(java), cpu(served)), before, strict=True)]
    sent, changes = (now - then for now, then in zip(bulk_metrics(url), bulks, strict=True))
    acknowledged = [answer.key for answer in answers if answer.acknowledged]
    predictions = round(traffic.rate * traffic.seconds)
    operations = writes(engine, index)
    size = disk(engine, index)
    stored = compare(engine, shape, deployment, acknowledged)
    problems = stored.problems
    if len(acknowledged) < len(events):
        problems.append(f"{len(events) - len(acknowledged)} events were not acknowledged")
    engine.drop(index)
    times = [answer.seconds * 1000 for answer in answers]
    return Row(
        side=side.label,
        body=f"{shape.name}, {shape.body_bytes:,} bytes",
        predictions=predictions,
        events=len(events),
        acknowledged=len(acknowledged),
        engine_ms=used[0] / predictions * 1000,
        compiler_ms=used[1] / predictions * 1000,
        logger_ms=used[2] / predictions * 1000,
        p50=open_loop.percentile(times, 0.5),
        p99=open_loop.percentile(times, 0.99),
        p99_since_due=open_loop.percentile([answer.since_due * 1000 for answer in answers], 0.99),
        bulks=sent / predictions,
        changes_per_bulk=changes / sent if sent else 0.0,
        writes=operations / predictions,
        bytes_merged=size.merged / predictions,
        bytes_with_overwritten=size.with_overwritten / predictions,
        missing=stored.missing,
        duplicates=stored.duplicates,
        problems=tuple(problems),
    )


def drained(url: str, engine: Client, index: str, seconds: float = 60.0) -> None:
    """Wait until the number of writes stays the same: with a durable queue, events are acknowledged before."""
    deadline, before = time.monotonic() + seconds, -1
    while (now := writes(engine, index)) != before and time.monotonic() < deadline:
        before = now
        time.sleep(0.5)


def bulk_metrics(url: str) -> tuple[float, float]:
    """Return the number of _bulk requests of a logger so far, and of the documents in them."""
    found = {"request_logger_bulk_changes_count": 0.0, "request_logger_bulk_changes_sum": 0.0}
    for family in text_string_to_metric_families(requests.get(f"{url}/metrics", timeout=30).text):
        for sample in family.samples:
            if sample.name in found:
                found[sample.name] += sample.value
    count, total = found.values()
    return count, total


def warm_up(
    engine: Client, java: Sequence[psutil.Process], running: Sequence[Side], shape: Shape, seconds: float
) -> None:
    """Send uncounted events to all sides until the engine's compiler has settled, at most so many seconds."""
    end, share = time.monotonic() + seconds, 1.0
    while share > _COMPILER_SHARE and time.monotonic() < end:
        before = compiler_cpu(java), cpu(java)
        for side in running:
            deployment = f"w{uuid.uuid4().hex[:8]}"
            side.create(shape.index(deployment))
            url = side.server.url
            events = [
                shape.event(url, deployment, number, part)
                for number in range(_WARM_PREDICTIONS)
                for part in ("request", "response", "feedback")
            ]
            if load.run(url, events, connections=16).failed == len(events):
                raise CommandError(f"{side.label} ({side.version.commit}): no event was acknowledged")
            engine.drop(shape.index(deployment))
        share = (compiler_cpu(java) - before[0]) / max(cpu(java) - before[1], 1e-9)
    print(f"warmed up: the compiler takes {share:.0%} of the engine's CPU time", file=sys.stderr, flush=True)


HEADINGS = (
    *("code", "body of a request", "engine CPU ms per prediction", "of it compiler", "logger CPU ms per prediction"),
    *("p50 ms", "p99 ms", "p99 ms since due", "_bulks per prediction", "documents per _bulk", "writes per prediction"),
    *("bytes per prediction", "with overwritten copies", "missing", "duplicates"),
)


def cells(row: Row) -> list[str]:
    """Return a row's figures as text, in the order of HEADINGS."""
    return [
        row.side,
        row.body,
        *(f"{value:.2f}" for value in (row.engine_ms, row.compiler_ms, row.logger_ms)),
        *(f"{value:.1f}" for value in (row.p50, row.p99, row.p99_since_due)),
        *(f"{value:.2f}" for value in (row.bulks, row.changes_per_bulk, row.writes)),
        *(f"{value:,.0f}" for value in (row.bytes_merged, row.bytes_with_overwritten)),
        str(row.missing),
        str(row.duplicates),
    ]


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; columns after the first two are numbers."""
    marks = ["---" if number < 2 else "---:" for number in range(len(headings))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, marks, *lines))


def assigned(texts: Sequence[str]) -> dict[str, str]:
    """Return NAME=VALUE arguments as a mapping. Raises CommandError for one without an equals sign."""
    for text in texts:
        if not text.partition("=")[1]:
            raise CommandError(f"--set: expected NAME=VALUE, found {text!r}")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def main(given: Sequence[str] | None = None) -> int:
    """Measure, check and print; status 1 if an acknowledged event is missing or a document is duplicated."""
    usual = Traffic()
    parser = argparse.ArgumentParser(prog="python -m bench.ordinary", description="Costs in ordinary traffic.")
    parser.add_argument("--before", metavar="COMMIT", help="run this commit's code in turns with the code here")
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
    parser.add_argument("--rounds", type=int, default=1, help="runs of each row (default: 1)")
    parser.add_argument("--warm-up", type=float, default=60.0, help="maximum seconds of warm-up (default: 60)")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings of the code here")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file")
    arguments = parser.parse_args(given)
    traffic = Traffic(
        rate=arguments.rate,
        seconds=arguments.seconds,
        connections=arguments.connections,
        new_connections=arguments.new_connections,
    )
    shapes = [columns(count, arguments.protocol) for count in arguments.columns]
    try:
        rows = _measured(arguments, traffic, shapes)
    except CommandError as error:
        print(f"bench.ordinary: {error}", file=sys.stderr)
        return 2
    print(table(HEADINGS, [cells(row) for row in rows]))
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump([asdict(row) for row in rows], file, indent=1)
    problems = [f"{row.side}, {row.body}: {problem}" for row in rows for problem in row.problems]
    for problem in problems:
        print(f"FAILED: {problem}")
    return int(bool(problems))


def _measured(arguments: argparse.Namespace, traffic: Traffic, shapes: Sequence[Shape]) -> list[Row]:
    rows: list[Row] = []
    own: dict[str, Any] = assigned(arguments.set)
    with versions(arguments.before) as found, engine_url() as url:
        engine, java = Client(url), engine_processes_at(url)
        with sides(found, url, {}, after=own) as running:
            warm_up(engine, java, running, shapes[0], arguments.warm_up)
            for _ in range(arguments.rounds):
                for shape in shapes:
                    for side in running:
                        rows.append(run(engine, java, side, shape, traffic))
                        print(" ".join(cells(rows[-1])), file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main())
