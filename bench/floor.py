"""`python -m bench.floor`: the least that ordinary traffic costs the engine, whatever sends it.

The documents that the logger makes of 200 predictions per second, one in three with feedback (`bench.ordinary`), are
sent by a bare client in `_bulk` requests of the same rhythm: each document is created with its request and response,
and a third of them are replaced once, on the condition of their version. So a row has none of the logger's cost, and no
read. Requests are one per event and less frequent; indices are refreshed each second, as by default, or less often. The
logger itself has the same traffic, with its default settings and with QUEUE=always.

CPU is that of the engine's process without its compiler, per prediction. All rows take turns on one engine. --write
puts the table into docs/scaling.md.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench import cost_lanes, load
from bench.cost_page import engine_name, put
from bench.cost_table import at_least, table, warm_up
from bench.engines import Client, engine_url
from bench.first import PARTS
from bench.measure import compiler_cpu, cpu
from bench.ordinary_traffic import FEEDBACK_EVERY, Traffic
from bench.probe import Probe
from bench.shapes import Shape, columns
from bench.versions import Side, installed_by, sides, templates, versions
from request_logger.demo.local_server import LocalServer, engine_settings
from request_logger.errors import CommandError

_DOCUMENTS = 500
_CONNECTIONS = 16
# So that replacements begin at once, and the index has its fields.
_FIRST_DOCUMENTS = 200
_REFRESH = "index.refresh_interval"
HEADINGS = (
    *("sender", "_bulk requests", "refresh", "requests per second", "documents per request"),
    *("writes per prediction", "engine CPU ms per prediction"),
)
_LOGGER = "request-logger"
_QUEUE = {"QUEUE": "always"}


@dataclass(frozen=True, slots=True)
class Rhythm:
    """So many requests per second. ``split`` is the share of predictions whose response is a write of its own."""

    label: str
    requests: float
    split: float = 0.0
    settings: tuple[tuple[str, str], ...] = ()

    def writes(self, rate: float) -> tuple[float, float]:
        """Return how many documents a request creates and replaces, at so many predictions per second."""
        created = rate / self.requests
        return created, created * (self.split + 1 / FEEDBACK_EVERY)


def rhythms(rate: float, connections: int) -> list[Rhythm]:
    """Return the rhythms to compare, at so many predictions per second."""
    events = rate * (2 + 1 / FEEDBACK_EVERY)
    full = events / connections
    # A response that comes 5 ms after its request misses the request that closes meanwhile.
    split = min(Traffic().response_after * full, 1.0)
    each_second = ((_REFRESH, "1s"),)
    slow = {seconds: ((_REFRESH, f"{seconds}s"),) for seconds in (5, 30)}
    return [
        Rhythm("one per event", events, 1.0, each_second),
        Rhythm(f"as all {connections} connections wait", full, split, each_second),
        Rhythm(f"as all {connections} connections wait", full, split, slow[5]),
        Rhythm(f"as all {connections} connections wait", full, split, slow[30]),
        Rhythm("each 0.1 s", 10.0, 0.05, each_second),
        Rhythm("each 0.5 s", 2.0, 0.01, each_second),
        Rhythm("each 0.5 s", 2.0, 0.01, slow[5]),
        Rhythm("each 0.5 s", 2.0, 0.01, slow[30]),
    ]


Key = tuple[str, str, str]
"""The first cells of a row: the sender, its requests, and the refresh interval."""
Figures = tuple[float, float, float, float]
"""The other cells of a row: see HEADINGS."""


class Sender:
    """Writes the documents of one index in a rhythm."""

    def __init__(self, engine: Client, index: str, stages: Sequence[Sequence[Any]]) -> None:
        self._engine = engine
        self._index = index
        self._stages = stages
        self._numbers = itertools.count()
        self._created: deque[tuple[int, int, int]] = deque()

    def send(self, creates: int, replaces: int) -> None:
        """Create new documents and replace as many of the oldest ones, in one request. Raises CommandError."""
        new = [next(self._numbers) for _ in range(creates)]
        old = [self._created.popleft() for _ in range(min(replaces, len(self._created)))]
        lines: list[Any] = []
        for number in new:
            lines += [{"create": self._head(number)}, self._stages[0][number % len(self._stages[0])]]
        for number, seq_no, term in old:
            head = {**self._head(number), "if_seq_no": seq_no, "if_primary_term": term}
            lines += [{"index": head}, self._stages[1][number % len(self._stages[1])]]
        answer = self._engine.ask("POST", "/_bulk", "".join(f"{json.dumps(line)}\n" for line in lines).encode())
        if answer["errors"]:
            raise CommandError("the engine has refused a document")
        for number, item in zip(new, answer["items"], strict=False):
            self._created.append((number, item["create"]["_seq_no"], item["create"]["_primary_term"]))

    def _head(self, number: int) -> dict[str, str]:
        return {"_index": self._index, "_id": f"prediction-{number}"}


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description="The least that the engine can cost.")
    parser.add_argument("--columns", type=int, default=37, help="columns of a request (default: 37)")
    parser.add_argument("--seconds", type=float, default=15.0, help="seconds per row (default: 15)")
    parser.add_argument("--rounds", type=int, default=1, help="runs per row, of which the median counts (default: 1)")
    parser.add_argument("--warm-up", type=float, default=60.0, help="maximum seconds of warm-up (default: 60)")
    parser.add_argument("--write", action="store_true", help="write the table into docs/scaling.md")
    arguments = parser.parse_args(given)
    try:
        at_least(1, columns=arguments.columns, seconds=arguments.seconds, rounds=arguments.rounds)
        with (
            versions(None) as codes,
            engine_url() as url,
            sides(codes, url, after={}) as (side,),
            queueing(side, url) as queues,
        ):
            probe, shape = Probe(url), columns(arguments.columns)
            warm_up(probe, [side, queues["1s"]], shape, arguments.warm_up)
            found = measured(probe, side, queues, shape, arguments.seconds, arguments.rounds)
            engine = engine_name(probe.engine)
    except CommandError as error:
        print(f"bench.floor: {error}", file=sys.stderr)
        return 2
    lines = [[*key, *cells(rows)] for key, rows in found.items()]
    text = table(HEADINGS, lines, text_columns=3)
    print(text)
    if arguments.write:
        commit = side.version.commit.partition(" ")[0]
        put({"floor": f"Measured at commit {commit} with {engine} on {os.cpu_count()} cores.\n\n{text}"})
    return 0


@contextlib.contextmanager
def queueing(side: Side, url: str) -> Iterator[dict[str, Side]]:
    """Run a second server with QUEUE=always, its queue in a temporary folder; yield it for each refresh interval."""
    with tempfile.TemporaryDirectory(prefix="request-logger-floor-") as folder:
        settings = side.version.environment(**engine_settings(url), **_QUEUE, SPOOL_DIR=folder)
        with LocalServer(settings) as server:
            engine = Client(url)
            usual = templates(engine)
            slow = installed_by(side.version, engine, {**settings, "INDEX_REFRESH_SECONDS": "5"})
            by_refresh = {"1s": usual, "5s": slow}
            yield {name: Side(side.version, server, engine, each, settings) for name, each in by_refresh.items()}


def measured(
    probe: Probe, side: Side, queues: Mapping[str, Side], shape: Shape, seconds: float, rounds: int
) -> dict[Key, list[Figures]]:
    """Run all rows in turns; return the figures of each, in the order of the table."""
    traffic = Traffic(seconds=seconds)
    stages = list(documents(probe.engine, side, shape))
    work: list[tuple[Key, Callable[[], Figures]]] = []
    for rhythm in rhythms(traffic.rate, traffic.connections):
        key = ("a bare client", rhythm.label, dict(rhythm.settings)[_REFRESH])
        work.append((key, partial(run, probe, side, shape, stages, rhythm, traffic.rate, seconds)))
    work.append(((_LOGGER, "default settings", "1s"), partial(run_logger, probe, side, shape, traffic)))
    for refresh, queue in queues.items():
        work.append(((_LOGGER, "QUEUE=always", refresh), partial(run_logger, probe, queue, shape, traffic)))
    found: dict[Key, list[Figures]] = {key: [] for key, _ in work}
    for turn in range(rounds):
        for key, row in work if turn % 2 == 0 else reversed(work):
            found[key].append(row())
            print(*key, *cells(found[key][-1:]), file=sys.stderr, flush=True)
    return found


def run_logger(probe: Probe, side: Side, shape: Shape, traffic: Traffic) -> Figures:
    """Send the traffic to the logger. Raises CommandError if an event is missing afterwards."""
    row = cost_lanes.ordinary(traffic)(probe, side, shape, traffic.predictions)
    if row.problems:
        raise CommandError("; ".join(row.problems))
    return row.bulks * traffic.rate, row.changes_per_bulk, row.writes, row.engine_ms - row.compiler_ms


def documents(engine: Client, side: Side, shape: Shape) -> Iterator[list[Any]]:
    """Yield the documents that the logger makes of requests with responses, and those with feedback, too."""
    for parts in (PARTS[:2], PARTS):
        deployment, url = f"f{uuid.uuid4().hex[:8]}", side.server.url
        index = shape.index(deployment)
        side.create(index)
        for part in parts:
            events = [shape.event(url, deployment, number, part) for number in range(_DOCUMENTS)]
            load.run(url, events, connections=_CONNECTIONS)
        engine.ask("POST", f"/{index}/_refresh")
        hits = engine.ask("POST", f"/{index}/_search", {"size": _DOCUMENTS})["hits"]["hits"]
        engine.drop(index)
        if len(hits) < _DOCUMENTS:
            raise CommandError(f"the logger has stored {len(hits)} of {_DOCUMENTS} documents")
        yield [hit["_source"] for hit in hits]


def run(
    probe: Probe,
    side: Side,
    shape: Shape,
    stages: Sequence[Sequence[Any]],
    rhythm: Rhythm,
    rate: float,
    seconds: float,
) -> Figures:
    """Send in a rhythm for so many seconds, at so many predictions per second."""
    engine, index = probe.engine, shape.index(f"f{uuid.uuid4().hex[:8]}")
    side.install()
    engine.ask("PUT", f"/{index}", {"settings": dict(rhythm.settings)})
    sender = Sender(engine, index, stages)
    sender.send(_FIRST_DOCUMENTS, 0)
    creates, replaces = rhythm.writes(rate)
    used, started = _used(probe), time.monotonic()
    sent, created, replaced = 0, 0, 0
    while (now := time.monotonic()) < started + seconds:
        time.sleep(max(started + sent / rhythm.requests - now, 0.0))
        sent += 1
        now_created, now_replaced = int(sent * creates) - created, int(sent * replaces) - replaced
        if now_created or now_replaced:
            sender.send(now_created, now_replaced)
        created, replaced = created + now_created, replaced + now_replaced
    took = time.monotonic() - started
    # With what the rhythm leaves to do, as in a longer run.
    engine.ask("POST", f"/{index}/_refresh")
    spent = _used(probe) - used
    engine.drop(index)
    return sent / took, (created + replaced) / sent, (created + replaced) / created, spent / created * 1000


def _used(probe: Probe) -> float:
    return cpu(probe.java) - compiler_cpu(probe.java)


def cells(rows: Sequence[Figures]) -> list[str]:
    """Return the medians of some runs as cells."""
    requests, documents_each, writes, engine_ms = (statistics.median(figures) for figures in zip(*rows, strict=True))
    return [f"{requests:.0f}", f"{documents_each:.1f}", f"{writes:.2f}", f"{engine_ms:.3f}"]


if __name__ == "__main__":
    sys.exit(main())
