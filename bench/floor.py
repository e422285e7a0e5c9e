"""`python -m bench.floor`: the least that ordinary traffic costs the engine, whatever sends it.

The documents that the logger makes of 200 predictions per second, one in three with feedback (`bench.ordinary`), are
sent by a bare client in `_bulk` requests of the same rhythm: each document is created with its request and response,
and a third of them are replaced once, on the condition of their version. So a row has none of the logger's cost, and no
read. Requests are one per event and less frequent; indices are refreshed each second, as by default, or less often.

CPU is that of the engine's process without its compiler, per prediction. All rows take turns on one engine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench import load
from bench.cost_table import at_least, table, warm_up
from bench.engines import Client, engine_url
from bench.first import PARTS
from bench.measure import compiler_cpu, cpu
from bench.ordinary_traffic import FEEDBACK_EVERY, Traffic
from bench.probe import Probe
from bench.shapes import Shape, columns
from bench.versions import Side, sides, versions
from request_logger.errors import CommandError

_DOCUMENTS = 500
_CONNECTIONS = 16
# So that replacements begin at once, and the index has its fields.
_FIRST_DOCUMENTS = 200
_REFRESH = "index.refresh_interval"
HEADINGS = (
    *("_bulk requests", "refresh", "requests per second", "documents per request", "writes per prediction"),
    *("engine CPU ms per prediction", "refreshes per second"),
)


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


@dataclass(frozen=True, slots=True)
class Found:
    """One run of a rhythm."""

    engine_ms: float
    requests: float
    documents: float
    writes: float
    refreshes: float


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
    usual = Traffic()
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description="The least that the engine can cost.")
    parser.add_argument("--columns", type=int, default=37, help="columns of a request (default: 37)")
    parser.add_argument("--seconds", type=float, default=15.0, help="seconds per row (default: 15)")
    parser.add_argument("--rounds", type=int, default=1, help="runs per row, of which the median counts (default: 1)")
    parser.add_argument("--warm-up", type=float, default=60.0, help="maximum seconds of warm-up (default: 60)")
    arguments = parser.parse_args(given)
    try:
        at_least(1, columns=arguments.columns, seconds=arguments.seconds, rounds=arguments.rounds)
        with versions(None) as codes, engine_url() as url, sides(codes, url, after={}) as (side,):
            probe, shape = Probe(url), columns(arguments.columns)
            warm_up(probe, [side], shape, arguments.warm_up)
            stages = list(documents(probe.engine, side, shape))
            wanted = rhythms(usual.rate, usual.connections)
            found: dict[Rhythm, list[Found]] = {}
            for turn in range(arguments.rounds):
                for rhythm in wanted if turn % 2 == 0 else reversed(wanted):
                    row = run(probe, side, shape, stages, rhythm, usual.rate, arguments.seconds)
                    found.setdefault(rhythm, []).append(row)
                    print(" ".join(cells(rhythm, [row])), file=sys.stderr, flush=True)
    except CommandError as error:
        print(f"bench.floor: {error}", file=sys.stderr)
        return 2
    print(table(HEADINGS, [cells(rhythm, found[rhythm]) for rhythm in wanted], text_columns=2))
    return 0


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
) -> Found:
    """Send in a rhythm for so many seconds, at so many predictions per second."""
    engine, index = probe.engine, shape.index(f"f{uuid.uuid4().hex[:8]}")
    side.install()
    engine.ask("PUT", f"/{index}", {"settings": dict(rhythm.settings)})
    sender = Sender(engine, index, stages)
    sender.send(_FIRST_DOCUMENTS, 0)
    creates, replaces = rhythm.writes(rate)
    refreshes, used, started = _refreshes(engine, index), _used(probe), time.monotonic()
    sent, created, replaced = 0, 0, 0
    while (due := started + sent / rhythm.requests) < started + seconds:
        time.sleep(max(due - time.monotonic(), 0.0))
        sent += 1
        now_created, now_replaced = int(sent * creates) - created, int(sent * replaces) - replaced
        if now_created or now_replaced:
            sender.send(now_created, now_replaced)
        created, replaced = created + now_created, replaced + now_replaced
    took = time.monotonic() - started
    # With what the rhythm leaves to do, as in a longer run.
    engine.ask("POST", f"/{index}/_refresh")
    spent = _used(probe) - used
    refreshes = _refreshes(engine, index) - refreshes
    engine.drop(index)
    return Found(
        spent / created * 1000,
        sent / took,
        (created + replaced) / sent,
        (created + replaced) / created,
        refreshes / took,
    )


def _used(probe: Probe) -> float:
    return cpu(probe.java) - compiler_cpu(probe.java)


def _refreshes(engine: Client, index: str) -> int:
    return int(engine.ask("GET", f"/{index}/_stats/refresh")["_all"]["primaries"]["refresh"]["total"])


def cells(rhythm: Rhythm, rows: Sequence[Found]) -> list[str]:
    """Return the cells of a row: see HEADINGS."""

    def median(name: str) -> float:
        return float(statistics.median(getattr(row, name) for row in rows))

    return [
        rhythm.label,
        dict(rhythm.settings)[_REFRESH],
        f"{median('requests'):.0f}",
        f"{median('documents'):.1f}",
        f"{median('writes'):.2f}",
        f"{median('engine_ms'):.3f}",
        f"{median('refreshes'):.2f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
