"""`python -m bench.speed`: the logger compared with what limits it, in one run.

request-logger   the server with its default settings: request, response and feedback of each prediction, scored
  no scoring     the same with an outlier event instead of the feedback: the same writes, nothing to score
  batches        the same events in application/cloudevents-batch+json, 99 per request; and with one worker per core
1 KB, 4 KB       the same with 37 and 155 named columns instead of 4
new connections  every event has its own connection; the same for bare Flask
before           --before COMMIT: that commit's code, taken out of the history
one update       the original's way of writing: look up each event, then `_update?refresh=true` (`bench.one_update`)
bare Flask       parses the JSON and responds, without an engine (`bench.bare`)
raw _bulk        the final documents of request-logger, sent directly to the engine, 500 per _bulk
raw updates      one update with doc and upsert per event, 500 per _bulk; and 8, the most that request-logger can have
                 with 16 connections

One update and bare Flask run under gunicorn's gthread with one worker per core. All take turns after the engine's
compiler has settled, and the engine's documents are counted after each. A second table is that of `bench.slow_engine`.
--write updates docs/performance.md and its plots.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import curves, load, slow_engine
from bench.engines import Client, engine_url
from bench.first import CONNECTIONS, CORES, ONE_UPDATE, PARTS, bodies, check, index_of, make_events
from bench.measure import Measured, compiler_cpu, cpu, engine_processes_at, measure, processes, timed
from bench.shapes import Shape, columns
from bench.versions import Side, sides, versions
from request_logger.demo.local_server import LocalServer, engine_settings

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BARE = (*ONE_UPDATE[:-1], "bench.bare:app")
BATCH, BULK = 99, 500
# The logger has two concurrent _bulk requests.
SMALL_BULK = CONNECTIONS // 2
# In the first hundreds of thousands of events, the engine's compiler uses more CPU than the rest of the engine.
_COMPILER_SHARE = 0.15
_LONGEST_WARM_UP_SECONDS = 180.0
BEFORE, BEFORE_BATCHES = "before", "before, batches"
MEDIUM, LARGE = "request-logger, bodies of 1 KB", "request-logger, bodies of 4 KB"
CHURN, BARE_CHURN = "request-logger, new connections", "bare Flask, new connections"
# Names of bodies for `bench.shapes`.
_SHAPES = {MEDIUM: columns(37), LARGE: columns(155)}
OURS, BATCHES, ONE_CONNECTION = "request-logger", "request-logger, batches", "request-logger, 1 connection"
SILENT, WIDE = "request-logger, no scoring", f"request-logger, batches, {CORES} workers"
SMALL_UPDATES = f"raw updates, {SMALL_BULK} per _bulk"


class Bench:
    """The engine and the servers under test; ``problems`` collects what is wrong afterwards."""

    def __init__(self, stack: ExitStack, url: str, before: str | None = None) -> None:
        settings = engine_settings(url)
        self.engine_url, self.engine = url, Client(url)
        self.java = engine_processes_at(url)
        codes = stack.enter_context(versions(before))
        running = stack.enter_context(sides(codes, url, after={}))
        self.side = running[-1]
        self.before = running[0] if before else None
        self.ours = self.side.server
        self.idle = max(process.memory_info().rss for process in processes(self.ours.pid)[1:]) / 2**20
        self.wide = stack.enter_context(LocalServer({**settings, "GUNICORN_WORKERS": str(CORES)}))
        self.one = stack.enter_context(LocalServer(settings, python=ONE_UPDATE))
        self.bare = stack.enter_context(LocalServer(settings, python=BARE))
        self.problems: list[str] = []

    def events(self, name: str, predictions: int, connections: int = 16, side: Side | None = None) -> Measured:
        """Run request-logger with one event per request."""
        server = self._with_templates(side).server
        found = self._measure(server, make_events(predictions, name, server.url), connections)
        self._count(name, predictions, scored=True)
        return found

    def churn(self, server: LocalServer, name: str, predictions: int) -> Measured:
        """Run request-logger or bare Flask with a new connection for each event."""
        requests = [load.closing(request) for request in make_events(predictions, name, server.url)]
        found = self._measure(server, requests, 16)
        if server is self.ours:
            self._count(name, predictions, scored=True)
        return found

    def bodies(self, shape: Shape, name: str, predictions: int) -> Measured:
        """Run request-logger with bodies of another shape, one event per request."""
        url = self._with_templates(None).server.url
        found = self._measure(
            self.ours, [shape.event(url, name, number, part) for number in range(predictions) for part in PARTS], 16
        )
        self._count(name, predictions, scored=True)
        return found

    def _with_templates(self, side: Side | None) -> Side:
        """Install the index templates of a side, by default those of the code here, if there is another one."""
        side = side or self.side
        if self.before:
            side.install()
        return side

    def outliers(self, name: str, predictions: int) -> Measured:
        """Run request-logger with an outlier event instead of each feedback."""
        requests = []
        for request in make_events(predictions, name, self.ours.url):
            head, _, _ = request.raw.partition(b"\r\n\r\n")
            if request.key[1] == "feedback":
                body = b'{"data": {"is_outlier": [0], "instance_score": [0.25]}}'
                lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
                head = b"\r\n".join(lines).replace(b"serving.feedback", b"serving.inference.outlier")
                raw = b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
                requests.append(load.Request(request.key, raw))
            else:
                requests.append(request)
        found = self._measure(self.ours, requests, 16)
        self._count(name, predictions, scored=False)
        return found

    def batches(self, server: LocalServer, name: str, predictions: int) -> Measured:
        """Run request-logger with BATCH events per request."""
        self._with_templates(self.before if self.before and server is self.before.server else None)
        url = server.url
        kind = {"Content-Type": "application/cloudevents-batch+json"}
        values = [_structured(name, number, part) for number in range(predictions) for part in PARTS]
        requests = [
            load.Request((start, "batch"), load.post(url, kind, json.dumps(values[start : start + BATCH]).encode()))
            for start in range(0, len(values), BATCH)
        ]
        found = measure(url, requests, server.pid, self.java, connections=4, events_each=BATCH)
        self._count(name, predictions, scored=True)
        return found

    def one_update(self, name: str, predictions: int) -> Measured:
        """Run the original's way of writing."""
        self.engine.ask("PUT", f"/{index_of(name)}")
        found = self._measure(self.one, make_events(predictions, name, self.one.url), 16)
        self._count(name, predictions, scored=False)
        return found

    def bare_flask(self, name: str, predictions: int) -> Measured:
        """Run a server without an engine."""
        return self._measure(self.bare, make_events(predictions, name, self.bare.url), 16)

    def raw_bulk(self, source: str, name: str) -> Measured:
        """Write the final documents of ``source`` by _bulk; a document counts as many events as it has parts."""
        documents = list(_documents(self.engine, index_of(source)))
        lines = [b'{"index":{"_id":"%b"}}\n%b\n' % (id.encode(), json.dumps(found).encode()) for id, found in documents]
        found = self._bulk(name, lines, BULK, events_each=len(PARTS))
        self._count(name, len(documents), scored=True)
        return found

    def raw_updates(self, name: str, predictions: int, size: int) -> Measured:
        """Write one update per event, ``size`` updates per _bulk."""
        lines = []
        for number in range(predictions):
            for part, body in bodies(number).items():
                update = {"doc": {part: {"payload": body}, "RequestId": str(number)}, "doc_as_upsert": True}
                lines.append(b'{"update":{"_id":"%d"}}\n%b\n' % (number, json.dumps(update).encode()))
        found = self._bulk(name, lines, size, events_each=1)
        self._count(name, predictions, scored=False)
        return found

    def _bulk(self, name: str, lines: list[bytes], size: int, events_each: int) -> Measured:
        self.engine.ask("PUT", f"/{index_of(name)}")

        def send() -> int:
            for start in range(0, len(lines), size):
                answer = self.engine.ask("POST", f"/{index_of(name)}/_bulk", b"".join(lines[start : start + size]))
                if answer["errors"]:
                    raise RuntimeError(json.dumps(answer)[:500])
            return len(lines) * events_each

        return timed(send, self.java)

    def _measure(self, server: LocalServer, requests: list[load.Request], connections: int) -> Measured:
        return measure(server.url, requests, server.pid, self.java, connections=connections)

    def _count(self, name: str, predictions: int, *, scored: bool) -> None:
        index = index_of(name)
        self.engine.ask("POST", f"/{index}/_refresh")
        query = {"query": {"exists": {"field": "metrics.scorer"}}} if scored else None
        count = self.engine.ask("POST", f"/{index}/_count", query)["count"]
        if count != predictions:
            self.problems.append(f"{name}: {count} {'scored ' * scored}documents for {predictions} predictions")
        elif scored and name.endswith("-checked"):
            self.problems += check(self.engine, index, load.Run([], 1), predictions)


def _structured(name: str, number: int, part: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{name}-{number}-{part}",
        "source": "http://127.0.0.1:8000/",
        "type": f"io.seldon.serving.{'' if part == 'feedback' else 'inference.'}{part}",
        "requestid": f"{name}-{number}",
        "inferenceservicename": name,
        "modelid": "classifier",
        "namespace": "bench",
        "endpoint": "default",
        "datacontenttype": "application/json",
        "data": bodies(number)[part],
    }


def _documents(engine: Client, index: str) -> Iterator[tuple[str, dict[str, Any]]]:
    page = engine.ask("POST", f"/{index}/_search?scroll=1m", {"size": 1000, "sort": ["_doc"]})
    while page["hits"]["hits"]:
        yield from ((hit["_id"], hit["_source"]) for hit in page["hits"]["hits"])
        page = engine.ask("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})


def run(bench: Bench, predictions: int, rounds: int) -> dict[str, Measured]:
    """Warm up, then run all of them in turns; return the median run of each, by rate."""
    prefix = uuid.uuid4().hex[:6]
    few, many = predictions // 8, 3 * predictions // 33 * 33
    _warm_up(bench, f"{prefix}-warm", predictions)
    found: dict[str, list[Measured]] = {}
    for turn in range(rounds):
        name = f"{prefix}-{turn}"
        work: dict[str, Callable[[], Measured]] = {
            OURS: lambda name=name: bench.events(f"{name}-checked", predictions),
            ONE_CONNECTION: lambda name=name: bench.events(f"{name}-c1", few, 1),
            "request-logger, 64 connections": lambda name=name: bench.events(f"{name}-c64", predictions, 64),
            "request-logger, 256 connections": lambda name=name: bench.events(f"{name}-c256", predictions, 256),
            SILENT: lambda name=name: bench.outliers(f"{name}-o", predictions),
            BATCHES: lambda name=name: bench.batches(bench.ours, f"{name}-b", many),
            WIDE: lambda name=name: bench.batches(bench.wide, f"{name}-d", many),
            MEDIUM: lambda name=name: bench.bodies(_SHAPES[MEDIUM], f"{name}-m", predictions),
            LARGE: lambda name=name: bench.bodies(_SHAPES[LARGE], f"{name}-l", predictions // 2),
            CHURN: lambda name=name: bench.churn(bench.ours, f"{name}-n", predictions),
            BARE_CHURN: lambda name=name: bench.churn(bench.bare, f"{name}-n", predictions),
            "one update": lambda name=name: bench.one_update(f"{name}-1", few),
            "bare Flask": lambda name=name: bench.bare_flask(f"{name}-f", predictions),
            "raw _bulk": lambda name=name: bench.raw_bulk(f"{name}-checked", f"{name}-r"),
            "raw updates": lambda name=name: bench.raw_updates(f"{name}-u", predictions, BULK),
            SMALL_UPDATES: lambda name=name: bench.raw_updates(f"{name}-v", predictions, SMALL_BULK),
        }
        if old := bench.before:
            work[BEFORE] = lambda name=name, old=old: bench.events(f"{name}-e", predictions, side=old)
            work[BEFORE_BATCHES] = lambda name=name, old=old: bench.batches(old.server, f"{name}-eb", many)
        for title, task in work.items():
            found.setdefault(title, []).append(task())
    return {title: _median(runs) for title, runs in found.items()}


def _warm_up(bench: Bench, name: str, predictions: int) -> None:
    """Send uncounted events until the engine's compiler has settled."""
    end = time.monotonic() + _LONGEST_WARM_UP_SECONDS
    turn, share = 0, 1.0
    while share > _COMPILER_SHARE and time.monotonic() < end:
        before = compiler_cpu(bench.java), cpu(bench.java)
        bench.events(f"{name}-{turn}", 2 * predictions)
        others = [bench.before.server] if bench.before else []
        for server in (bench.ours, bench.wide, *others):
            bench.batches(server, f"{name}-{turn}-b{server.port}", predictions // 33 * 33)
        bench.raw_updates(f"{name}-{turn}-u", predictions, BULK)
        bench.one_update(f"{name}-{turn}-1", predictions // 40)
        share = (compiler_cpu(bench.java) - before[0]) / (cpu(bench.java) - before[1])
        turn += 1
    print(f"warmed up: the compiler takes {share:.0%} of the engine's CPU time", flush=True)


def _median(runs: list[Measured]) -> Measured:
    return sorted(runs, key=lambda each: each.rate)[len(runs) // 2]


def table(rows: dict[str, Measured]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| | events/s | p50 ms | p95 ms | p99 ms | logger CPU ms per event | engine CPU ms per event | MB per worker |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for title, row in rows.items():
        times = [f"{value * 1000:.1f}" if value else "" for value in (row.p50, row.p95, row.p99)]
        engine = "" if title in ("bare Flask", BARE_CHURN) else f"{row.engine_cpu / row.events * 1000:.2f}"
        cells = [title, f"{row.rate:,.0f}", *times, f"{row.logger_cpu / row.events * 1000:.2f}", engine]
        lines.append(f"| {' | '.join([*cells, f'{row.memory:.0f}' if row.memory else ''])} |")
    return "\n".join(lines)


def targets(rows: dict[str, Measured], idle: float, boot: float) -> str:
    """Return the targets as a Markdown table; ``idle`` is a fresh worker's MB, ``boot`` the seconds until ready."""
    ours, one, bare, batch = rows[OURS], rows["one update"], rows["bare Flask"], rows[BATCHES]
    raw, updates, silent = rows["raw _bulk"], rows["raw updates"], rows[SILENT]
    small = rows[SMALL_UPDATES]

    def each(row: Measured, what: str) -> float:
        return float(getattr(row, what)) / row.events

    lines = ["| | measured | target |", "|---|---|---|"]
    lines += compared(rows)
    for title, value, expected, good in (
        ("request-logger / one update, events/s", ours.rate / one.rate, "at least 20", ours.rate >= 20 * one.rate),
        ("request-logger / bare Flask, events/s", ours.rate / bare.rate, "at least 0.5", ours.rate >= 0.5 * bare.rate),
        ("p99 of request-logger / p50 of one update", ours.p99 / one.p50, "below 1", ours.p99 < one.p50),
        ("batches / one update, events/s", batch.rate / one.rate, "at least 100", batch.rate >= 100 * one.rate),
        (
            "logger CPU per event / bare Flask's",
            each(ours, "logger_cpu") / each(bare, "logger_cpu"),
            "at most 2",
            each(ours, "logger_cpu") <= 2 * each(bare, "logger_cpu"),
        ),
        (
            "engine CPU per event / raw updates'",
            each(ours, "engine_cpu") / each(updates, "engine_cpu"),
            "at most 1.3",
            each(ours, "engine_cpu") <= 1.3 * each(updates, "engine_cpu"),
        ),
        (
            "engine CPU per event / raw updates' in small _bulks",
            each(ours, "engine_cpu") / each(small, "engine_cpu"),
            "",
            True,
        ),
        ("batches / raw _bulk, documents/s", batch.rate / raw.rate, "at least 0.6", batch.rate >= 0.6 * raw.rate),
        (
            "cost of scoring, share of events/s",
            1 - ours.rate / silent.rate,
            "at most 0.35",
            ours.rate >= 0.65 * silent.rate,
        ),
        (
            "request-logger / bare Flask, new connections, events/s",
            rows[CHURN].rate / rows[BARE_CHURN].rate,
            "at least 0.7",
            rows[CHURN].rate >= 0.7 * rows[BARE_CHURN].rate,
        ),
        ("MB of an idle worker", idle, "under 120", idle < 120),
        ("seconds from start to ready", boot, "under 2", boot < 2),
    ):
        lines.append(f"| {title} | {value:.2f} | {expected}{'' if good else ': missed'} |")
    return "\n".join(lines)


def compared(rows: dict[str, Measured]) -> list[str]:
    """Return lines with the code here divided by the older one, none if only one ran."""
    lines = []
    for title, new, old in (("one event per request", OURS, BEFORE), ("batches", BATCHES, BEFORE_BATCHES)):
        if old in rows:
            now, then = rows[new], rows[old]
            lines.append(f"| after / before, {title}, events/s | {now.rate / then.rate:.2f} | |")
            for what in ("logger", "engine"):
                each = [getattr(row, f"{what}_cpu") / row.events for row in (now, then)]
                lines.append(f"| after / before, {title}, {what} CPU per event | {each[0] / each[1]:.2f} | |")
    return lines


def main() -> int:
    """Measure, check and print; status 1 if the engine does not have the expected documents."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.speed", description="The logger compared with what limits it."
    )
    parser.add_argument("--predictions", type=int, default=2000, help="predictions per row (default: 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="runs per row (default: 5)")
    parser.add_argument("--before", metavar="COMMIT", help="run this commit's code, too, and print the ratios to it")
    parser.add_argument(
        "--slow-seconds", type=float, default=30.0, help="seconds of each row with a slow engine (default: 30; 0: none)"
    )
    parser.add_argument("--write", action="store_true", help="write docs/performance.md and its plots")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        bench = Bench(stack, stack.enter_context(engine_url()), arguments.before)
        rows = run(bench, arguments.predictions, arguments.rounds)
        text = f"{table(rows)}\n\n{targets(rows, bench.idle, bench.ours.boot)}\n"
        if arguments.slow_seconds:
            slow = slow_engine.rows(bench.engine_url, arguments.slow_seconds)
            bench.problems += slow_engine.problems(slow)
            text += f"\n{slow_engine.INTRODUCTION}\n\n{slow_engine.as_table(slow)}\n"
        print(text)
        if arguments.write:
            curves.write(bench.engine_url, bench.engine, PAGE, text, arguments.predictions)
    for problem in bench.problems:
        print(f"FAILED: {problem}")
    return int(bool(bench.problems))


if __name__ == "__main__":
    sys.exit(main())
