"""`python -m bench.forward`: what FORWARD_URL costs while the second receiver is healthy, down, slow or refusing.

Six loggers run on one engine: one without FORWARD_URL, and one per behaviour of the receiver. The same ordinary load
goes to each in turn in short slices, round by round, so that a change of the machine's load affects all of them. A
sixth, again without FORWARD_URL, shows how much two loggers differ by chance: a ratio is the geometric mean over the
rounds, with its 95% interval.
Afterwards every acknowledged event is counted: in the engine, at the receiver, and in the forward spool. At the end the
receiver that was down is started: all that waited must arrive.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import multiprocessing
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scipy.stats import t

from bench import open_loop
from bench.cost_table import table
from bench.engines import Client, engine_url
from bench.measure import cpu, processes
from bench.ordinary_traffic import Traffic
from bench.probe import drained, metric
from bench.shapes import Shape, columns
from bench.stored import compare
from request_logger.demo.local_server import LocalServer, engine_settings
from tests.helpers import free_port

NONE, AGAIN, HEALTHY, DOWN, SLOW, REFUSING = (
    "no FORWARD_URL", "no FORWARD_URL, again", "healthy", "down", "slow (10 s)", "refusing (400)"
)  # fmt: skip
# By way: the status of the receiver's answers, and the seconds before each.
_ANSWERS = {HEALTHY: (200, 0.0), SLOW: (200, 10.0), REFUSING: (400, 0.0)}
WAYS = (NONE, AGAIN, HEALTHY, DOWN, SLOW, REFUSING)
SLOWEST = 1.05
"""The logger's own answers may take at most so many times as long as without FORWARD_URL, beyond chance."""
_WAIT_SECONDS = 120.0
_HEADINGS = ("receiver", "acknowledged", "p50 ms", "p99 ms", "p50 / none", "p99 / none", "logger CPU ms per event",
             "in the engine", "sent", "refused", "dropped", "waiting on disk")  # fmt: skip


@dataclass
class Way:
    """One logger, and what was measured with it."""

    name: str
    server: LocalServer
    p50s: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)
    cpu: float = 0.0
    acknowledged: int = 0
    missing: int = 0

    def forwarded(self, outcome: str) -> int:
        """Return how many requests have this outcome."""
        return round(metric(self.server.url, "request_logger_forwarded_total", outcome=outcome))

    @property
    def waiting(self) -> int:
        """How many requests wait for the receiver."""
        return round(metric(self.server.url, "request_logger_forward_waiting_requests"))


@contextmanager
def receiver(port: int, status: int, seconds: float) -> Iterator[Any]:
    """Run a receiver in a process of its own; yield the shared number of different events that it was sent."""
    context = multiprocessing.get_context("spawn")
    count, ready = context.Value("q", 0), context.Event()
    process = context.Process(target=_receive, args=(port, status, seconds, count, ready), daemon=True)
    process.start()
    try:
        if not ready.wait(30):
            raise RuntimeError("the receiver did not start")
        yield count
    finally:
        process.kill()
        process.join()


def _receive(port: int, status: int, seconds: float, count: Any, ready: Any) -> None:
    asyncio.run(_serve(port, status, seconds, count, ready))


async def _serve(port: int, status: int, seconds: float, count: Any, ready: Any) -> None:
    seen: set[bytes] = set()
    answer = b"HTTP/1.1 %d Answer\r\nContent-Length: 0\r\n\r\n" % status

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                headers = dict(line.split(b": ", 1) for line in lines[1:] if b": " in line)
                await reader.readexactly(int(headers[b"content-length"]))
                await asyncio.sleep(seconds)
                seen.add(headers[b"ce-requestid"] + headers[b"ce-type"])
                count.value = len(seen)
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    ready.set()
    await server.serve_forever()


def main(given: Sequence[str] | None = None) -> int:
    """Measure, check and print; status 1 if an event is missing anywhere, or the answers are too slow."""
    parser = argparse.ArgumentParser(prog="python -m bench.forward", description="The cost of FORWARD_URL.")
    parser.add_argument("--rounds", type=int, default=8, help="slices of each logger (default: 8)")
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds of a slice (default: 4)")
    parser.add_argument("--rate", type=float, default=100.0, help="predictions per second (default: 100)")
    arguments = parser.parse_args(given)
    with engine_url() as url, ExitStack() as stack:
        return run(
            url, Traffic(rate=arguments.rate, seconds=arguments.seconds, feedback_after=1.0), arguments.rounds, stack
        )


def run(url: str, traffic: Traffic, rounds: int, stack: ExitStack) -> int:
    """Run all loggers and receivers."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="request-logger-forward-")))
    down_port = free_port()
    ways, counts = [], {}
    for number, name in enumerate(WAYS):
        port = down_port
        if name in _ANSWERS:
            port = free_port()
            counts[name] = stack.enter_context(receiver(port, *_ANSWERS[name]))
        forward = {} if name in (NONE, AGAIN) else {"FORWARD_URL": f"http://127.0.0.1:{port}"}
        env = {"SPOOL_DIR": str(folder / str(number)), "GUNICORN_WORKERS": "1", **forward}
        server = stack.enter_context(LocalServer({**engine_settings(url), **env}))
        ways.append(Way(name, server))
    client, shape = Client(url), columns(10)
    for round_number in range(rounds + 1):
        # Each is first once; the first round warms up, and its times don't count.
        for way in ways[round_number % len(ways) :] + ways[: round_number % len(ways)]:
            slice_of(way, traffic, client, shape, counts_time=round_number > 0)
    problems = settled(ways, counts)
    print(as_table(ways))
    with receiver(down_port, 200, 0.0) as arrived:
        way = next(way for way in ways if way.name == DOWN)
        if not _waited(lambda: arrived.value == way.acknowledged and way.waiting == 0):
            problems.append(f"{DOWN}: {arrived.value} of {way.acknowledged} arrived after the receiver was started")
        print(f"The receiver that was down was started: {arrived.value} of {way.acknowledged} events arrived.")
    problems += too_slow(ways)
    for problem in problems:
        print(f"FAILED: {problem}")
    return int(bool(problems))


def slice_of(way: Way, traffic: Traffic, client: Client, shape: Shape, *, counts_time: bool) -> None:
    """Send one slice to a logger, and look its events up in the engine."""
    deployment = f"fw{uuid.uuid4().hex[:8]}"
    running = processes(way.server.pid)
    before = cpu(running)
    sent = traffic.send(way.server.url, traffic.events(way.server.url, shape, deployment))
    used = cpu(running) - before
    way.acknowledged += len(sent.acknowledged)
    if counts_time:
        way.p50s.append(open_loop.percentile(sent.times, 0.5) * 1000)
        way.p99s.append(open_loop.percentile(sent.times, 0.99) * 1000)
        way.cpu += used * 1000 / len(sent.acknowledged)
    drained(client, shape.index(deployment))
    found = compare(client, shape, deployment, sent.acknowledged, range(traffic.predictions))
    way.missing += found.missing + found.duplicates
    client.drop(shape.index(deployment))


def settled(ways: Sequence[Way], counts: dict[str, Any]) -> list[str]:
    """Wait until each event is where it must be; return what isn't."""
    expected: dict[str, Callable[[Way], bool]] = {
        NONE: lambda way: True,
        AGAIN: lambda way: True,
        HEALTHY: lambda way: counts[HEALTHY].value == way.forwarded("sent") == way.acknowledged,
        DOWN: lambda way: way.waiting == way.acknowledged,
        SLOW: lambda way: way.waiting + way.forwarded("sent") == way.acknowledged,
        REFUSING: lambda way: counts[REFUSING].value == way.forwarded("refused") == way.acknowledged,
    }
    problems = [f"{way.name}: {way.missing} events are missing in the engine, or twice" for way in ways if way.missing]
    for way in ways:
        if not _waited(lambda way=way: expected[way.name](way)):
            problems.append(f"{way.name}: not every event was forwarded, refused or waits")
    return problems


def ratio(times: Sequence[float], base: Sequence[float]) -> tuple[float, float, float]:
    """Return the geometric mean of the rounds' ratios, and its 95% interval (Student's t, of the logarithms)."""
    logs = [math.log(time / other) for time, other in zip(times, base, strict=True)]
    middle = statistics.mean(logs)
    half = 0.0
    if len(logs) > 1:
        half = float(t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


def too_slow(ways: Sequence[Way]) -> list[str]:
    """Return the ways whose median answers take longer than they may, by the whole interval."""
    problems = []
    for way in ways[1:]:
        middle, low, _ = ratio(way.p50s, ways[0].p50s)
        if low > SLOWEST:
            problems.append(f"{way.name}: p50 is {middle:.2f} of that without FORWARD_URL, expected at most {SLOWEST}")
    return problems


def as_table(ways: Sequence[Way]) -> str:
    """Return the figures as a Markdown table; times are medians over the slices."""
    lines = []
    for way in ways:
        p50, p99 = statistics.median(way.p50s), statistics.median(way.p99s)
        figures = [f"{way.acknowledged:,}", f"{p50:.1f}", f"{p99:.1f}"]
        for times, base in ((way.p50s, ways[0].p50s), (way.p99s, ways[0].p99s)):
            middle, low, high = ratio(times, base)
            figures.append("1" if way is ways[0] else f"{middle:.2f} ({low:.2f} to {high:.2f})")
        figures += [f"{way.cpu / len(way.p50s):.2f}", f"{way.acknowledged - way.missing:,}"]
        outcomes = [f"{way.forwarded(outcome):,}" for outcome in ("sent", "refused", "dropped")]
        lines.append([way.name, *figures, *outcomes, f"{way.waiting:,}"])
    return table(_HEADINGS, lines, text_columns=1)


def _waited(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


if __name__ == "__main__":
    sys.exit(main())
