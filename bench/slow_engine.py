"""`python -m bench.slow_engine`: senders that give up after 10 s, as a KServe agent does, while the engine is slow.

A proxy delays `_bulk` requests so that one in fifty takes 5 to 8 s (p99 above 5 s). Ordinary traffic goes to a logger
without a spool, then to one with a spool, and its senders never retry. An event is answered in time (stored, or in the
spool), refused with 503, or given up. When the engine is fast again and the spool is empty, every event that was
acknowledged must be in the engine, once.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import open_loop
from bench.cost_table import table
from bench.engines import Client, engine_url
from bench.faults.proxy import Asked, FaultProxy, Reply
from bench.ordinary_traffic import Traffic
from bench.probe import drained, metric
from bench.shapes import Shape, columns
from bench.stored import compare
from request_logger.demo.local_server import LocalServer, engine_settings

GIVE_UP_SECONDS = 10.0
# One in fifty, so that the p99 of all requests is among them.
_SLOW_SHARE = 0.02
_SLOW_SECONDS = (5.0, 8.0)
_USUAL_SECONDS = 0.02
_EMPTY_SECONDS = 120.0
_HEADINGS = ("slow engine", "events", "answered in time", "of these from the spool", "503", "given up after 10 s",
             "other", "p50 ms", "p99 ms", "p99 ms of _bulk", "missing", "duplicates")  # fmt: skip


INTRODUCTION = """In the next table, the engine is slow: one `_bulk` request in fifty takes 5 to 8 s. The traffic is
ordinary; its senders give up after 10 s and never retry. Afterwards, every acknowledged event was looked up in the
engine."""


class SlowBulks:
    """A proxy's rule that delays `_bulk` requests; ``seconds`` are the delays so far. Thread-safe."""

    def __init__(self, seed: int = 0) -> None:
        self.seconds: list[float] = []
        self._chance = random.Random(seed)  # nothing secret
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> Reply | None:
        """Delay a `_bulk`, then let the engine answer."""
        if asked.path.partition("?")[0].endswith("/_bulk"):
            with self._lock:
                slow = self._chance.random() < _SLOW_SHARE
                pause = self._chance.uniform(*_SLOW_SECONDS) if slow else _USUAL_SECONDS
                self.seconds.append(pause)
            time.sleep(pause)
        return None


@dataclass(frozen=True, slots=True)
class SlowRow:
    """One run: events by outcome; times in milliseconds."""

    title: str
    events: int
    in_time: int
    spooled: int
    unavailable: int
    given_up: int
    other: int
    p50: float
    p99: float
    bulk_p99: float
    missing: int
    duplicates: int
    problems: tuple[str, ...] = ()


def run(engine: str, traffic: Traffic, shape: Shape, *, spool: bool) -> SlowRow:
    """Send the traffic to a new logger behind a slow engine, wait until the spool is empty, and count."""
    deployment = f"slow{uuid.uuid4().hex[:8]}"
    client = Client(engine)
    rule = SlowBulks()
    with tempfile.TemporaryDirectory(prefix="request-logger-slow-") as folder, FaultProxy(engine) as proxy:
        spooling = {"SPOOL_DIR": str(Path(folder) / "spool")} if spool else {}
        with LocalServer({**engine_settings(proxy.url), **spooling}) as server:
            first = shape.event(server.url, deployment, traffic.predictions, "request")
            open_loop.send(server.url, [open_loop.Due(0, first)], connections=1)
            proxy.rule = rule
            events = traffic.events(server.url, shape, deployment)
            answers = open_loop.send(server.url, events, connections=traffic.connections, timeout=GIVE_UP_SECONDS)
            proxy.rule = None
            spooled = metric(server.url, "request_logger_events_total", outcome="spooled")
            emptied = _empties(server.url) if spool else True
            drained(client, shape.index(deployment))
        acknowledged = [answer.key for answer in answers if answer.acknowledged]
        found = compare(client, shape, deployment, acknowledged, range(traffic.predictions + 1))
        client.drop(shape.index(deployment))
    problems = [problem for problem in found.problems if "metrics" not in problem]
    if not emptied:
        problems.append("events are left in the spool")
    statuses = Counter(answer.status for answer in answers if not answer.acknowledged)
    times = [answer.seconds * 1000 for answer in answers if answer.acknowledged]
    return SlowRow(
        title="with a spool" if spool else "without a spool",
        events=len(events),
        in_time=len(acknowledged),
        spooled=round(spooled),
        unavailable=statuses.pop(503, 0),
        given_up=statuses.pop(0, 0),
        other=sum(statuses.values()),
        p50=open_loop.percentile(times, 0.5) if times else 0.0,
        p99=open_loop.percentile(times, 0.99) if times else 0.0,
        bulk_p99=open_loop.percentile(rule.seconds, 0.99) * 1000 if rule.seconds else 0.0,
        missing=found.missing,
        duplicates=found.duplicates,
        problems=tuple(problems),
    )


def _empties(url: str) -> bool:
    """Wait until a logger's spool is empty; return False if it isn't in time."""
    deadline = time.monotonic() + _EMPTY_SECONDS
    while metric(url, "request_logger_spool_events"):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def rows(engine: str, seconds: float, rate: float = Traffic().rate) -> list[SlowRow]:
    """Run both loggers for so many seconds each."""
    traffic = Traffic(rate=rate, seconds=seconds)
    return [run(engine, traffic, columns(37), spool=spool) for spool in (False, True)]


def as_table(found: Sequence[SlowRow]) -> str:
    """Return the figures as a Markdown table."""
    lines = []
    for row in found:
        numbers = (row.events, row.in_time, row.spooled, row.unavailable, row.given_up, row.other)
        times = (row.p50, row.p99, row.bulk_p99)
        lines.append(
            [
                row.title,
                *(f"{number:,}" for number in numbers),
                *(f"{value:,.0f}" for value in times),
                str(row.missing),
                str(row.duplicates),
            ]
        )
    return table(_HEADINGS, lines, text_columns=1)


def problems(found: Sequence[SlowRow]) -> list[str]:
    """Return one line per violated expectation."""
    return [f"slow engine, {row.title}: {problem}" for row in found for problem in row.problems]


def main(given: Sequence[str] | None = None) -> int:
    """Measure, check and print; status 1 if an acknowledged event is missing or a document is duplicated."""
    parser = argparse.ArgumentParser(prog="python -m bench.slow_engine", description="A slow engine.")
    parser.add_argument("--seconds", type=float, default=30.0, help="seconds of each row (default: 30)")
    parser.add_argument("--rate", type=float, default=Traffic().rate, help="predictions per second (default: 200)")
    arguments = parser.parse_args(given)
    with engine_url() as url:
        found = rows(url, arguments.seconds, arguments.rate)
    print(as_table(found))
    for problem in problems(found):
        print(f"FAILED: {problem}")
    return int(bool(problems(found)))


if __name__ == "__main__":
    sys.exit(main())
