"""`python -m bench.kafka`: `request-logger consume` compared with a raw `_bulk`, and (`--kill`) under kill -9.

A real Kafka and a real engine run on the same machine as the consumers. A prediction is three records (request,
response, feedback) in random partitions; some responses precede their requests, and feedback follows
`--feedback-after` records later.

Without `--kill`, the same predictions are read by one consumer, by two, and by two with all records of a prediction in
one partition (as with a key). Then the final documents are written again by a plain `_bulk` of prepared lines, by one
sender and by two. They take turns on fresh indices, after a round to warm up. With `--kill`, 200,000 records are read
by a consumer that is killed and restarted three times, while a second one joins.

Each run is checked: one document per prediction, each with all of its parts and its metrics, and the expected number of
correct predictions.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.engines import Client, engine_url
from tests.helpers import index_of
from tests.kafka_broker import Broker, start_kafka
from tests.kafka_helpers import ConsumerProcess, Message, prediction, produce, scores_and_truth

PARTITIONS = 6
# The number of consumers, and whether a prediction's records are in one partition.
WAYS = {"1 consumer": (1, False), "2 consumers": (2, False), "2 consumers, keyed": (2, True)}
RAW = "raw _bulk, {} sender(s)"
# The store's action for an unknown document: create it, or read it if it exists.
UPSERT = "raw, create or read"
EXPECTED_SHARE = 0.6
BULK = 500
_PAGE = 2000
_SHUFFLE = 20
_EVENTS = 3


@dataclass(frozen=True)
class Run:
    """One run: seconds, CPU seconds by program, and the writes."""

    seconds: float
    cpu: dict[str, float]
    writes: float = 1
    """_bulk actions per document."""
    conflicts: float = 0
    """_bulk actions per document that conflicted with another writer."""


def main() -> int:
    """Measure, check and print; status 1 if something is lost or the share is below EXPECTED_SHARE."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.kafka", description="The consumer compared with a raw _bulk."
    )
    parser.add_argument("--kill", action="store_true", help="run the long test under kill -9 instead")
    parser.add_argument("--events", type=int, help="records per run (default: 30,000, with --kill 200,000)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of each way of writing (default: 2)")
    parser.add_argument("--alone", action="store_true", help="only with one consumer and one sender")
    parser.add_argument("--columns", type=int, default=4, help="columns of a request (default: 4)")
    parser.add_argument(
        "--feedback-after", type=int, default=300, help="records between a response and its feedback (default: 300)"
    )
    arguments = parser.parse_args()
    events = arguments.events or (200_000 if arguments.kill else 30_000)
    with ExitStack() as stack:
        url = stack.enter_context(engine_url())
        broker = stack.enter_context(start_kafka(lambda line: print(line, file=sys.stderr)))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="request-logger-bench-")))
        bench = Bench(url, broker, folder, events // 3, arguments)
        return bench.kill() if arguments.kill else bench.compare(arguments.rounds)


class Bench:
    """Runs the comparisons on one engine and one broker."""

    def __init__(self, url: str, broker: Broker, folder: Path, predictions: int, arguments: argparse.Namespace) -> None:
        self.url = url
        self.engine = Client(url)
        self.broker = broker
        self.folder = folder
        self.predictions = predictions
        self.options = (arguments.feedback_after, arguments.columns)
        self.alone = arguments.alone
        self.disk = 0.0
        self.problems: list[str] = []
        self._logs = 0

    def compare(self, rounds: int) -> int:
        """Compare consumers with raw bulks."""
        rows: dict[str, list[Run]] = {}
        for round_number in range(rounds + 1):
            # The first round warms up the engine, and does not count.
            runs = dict(self._round(self.predictions if round_number else self.predictions // 3))
            for name, run in runs.items() if round_number else ():
                rows.setdefault(name, []).append(run)
        self._report(rows)
        return self._verdict()

    def _round(self, predictions: int) -> Iterator[tuple[str, Run]]:
        deployment = ""
        for name, (count, keyed) in WAYS.items():
            if self.alone and count > 1:
                continue
            if deployment:
                self.engine.drop(index_of(deployment))
            deployment = f"k{uuid.uuid4().hex[:8]}"
            topic = self.broker.make_topic(deployment, PARTITIONS)
            records = in_order(predictions, deployment, *self.options)
            produce(self.broker.address, topic, records, PARTITIONS, spread="keyed" if keyed else "random")
            yield name, self._consume(topic, count, predictions)
            self._check(deployment, predictions)
        self.disk = self._bytes_on_disk(index_of(deployment)) / predictions
        lines = list(self._lines(deployment, f"{deployment}raw"))
        for count in (1,) if self.alone else (1, 2):
            yield RAW.format(count), self._bulk(lines, f"{deployment}raw", count)
        upserts = [as_upsert(line) for line in lines]
        yield UPSERT, self._bulk(upserts, f"{deployment}raw", 1)
        self.engine.drop(index_of(deployment))

    def _start(self, topic: str) -> ConsumerProcess:
        self._logs += 1
        return ConsumerProcess(self.url, self.folder / f"{self._logs}.log", self.broker.address, topic)

    def _consume(self, topic: str, count: int, predictions: int) -> Run:
        processes = [self._start(topic) for _ in range(count)]
        for process in processes:
            process.wait("/healthz")
        wait_until(lambda: any(process.metric("request_logger_kafka_consumed_total") for process in processes), 0.02)
        started, before = time.monotonic(), self._cpu(processes)
        wait_until(lambda: sum(map(stored, processes)) >= 3 * predictions, 0.1)
        seconds, cpu = time.monotonic() - started, difference(before, self._cpu(processes))
        writes = sum(process.metric("request_logger_bulk_changes_sum") for process in processes)
        conflicts = sum(process.metric("request_logger_store_total", what="conflict") for process in processes)
        run = Run(seconds, cpu, writes / predictions, conflicts / predictions)
        for process in processes:
            process.stop()
        return run

    def _lines(self, deployment: str, other: str) -> Iterator[bytes]:
        """Yield the final documents of a deployment as lines of a _bulk into the index of another one."""
        index = index_of(deployment)
        page = self.engine.ask("POST", f"/{index}/_search?scroll=1m", {"size": _PAGE, "sort": ["_doc"]})
        while page["hits"]["hits"]:
            for hit in page["hits"]["hits"]:
                action = {"index": {"_index": index_of(other), "_id": hit["_id"]}}
                yield json.dumps(action).encode() + b"\n" + json.dumps(hit["_source"]).encode() + b"\n"
            page = self.engine.ask("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})

    def _bulk(self, lines: Sequence[bytes], deployment: str, senders: int) -> Run:
        self.engine.ask("PUT", f"/{index_of(deployment)}")
        bodies = [b"".join(lines[first : first + BULK]) for first in range(0, len(lines), BULK)]
        context = multiprocessing.get_context("spawn")
        start, end = context.Barrier(senders + 1), context.Barrier(senders + 1)
        workers = [
            context.Process(target=send, args=(self.url, bodies[number::senders], start, end), daemon=True)
            for number in range(senders)
        ]
        for worker in workers:
            worker.start()
        start.wait()
        started, before = time.monotonic(), self._cpu([])
        end.wait()
        run = Run(time.monotonic() - started, difference(before, self._cpu([])))
        for worker in workers:
            worker.join()
        self.engine.ask("POST", f"/{index_of(deployment)}/_refresh")
        found = self.engine.ask("GET", f"/{index_of(deployment)}/_count")["count"]
        if found != len(lines):
            self.problems.append(f"raw _bulk: {found} documents of {len(lines)}")
        self.engine.drop(index_of(deployment))
        return run

    def _cpu(self, processes: Sequence[ConsumerProcess]) -> dict[str, float]:
        javas = {"engine": "OpenSearch", "Kafka": "kafka.Kafka"}
        used = {"consumers": sum(cpu_of(psutil.Process(process.process.pid)) for process in processes)}
        for child in psutil.Process().children(recursive=True):
            command = " ".join(child.cmdline())
            for name, word in javas.items():
                if word in command and child.name() == "java":
                    used[name] = used.get(name, 0.0) + cpu_of(child)
        return used

    def _check(self, deployment: str, predictions: int) -> None:
        index = index_of(deployment)
        self.engine.ask("POST", f"/{index}/_refresh")
        exists = {part: {"exists": {"field": f"{part}.ce-time"}} for part in ("request", "response", "feedback")}
        aggs: dict[str, Any] = {part: {"filter": query} for part, query in exists.items()}
        aggs["scored"] = {"value_count": {"field": "metrics.correct"}}
        aggs["right"] = {"sum": {"field": "metrics.correct"}}
        answer = self.engine.ask("POST", f"/{index}/_search", {"size": 0, "track_total_hits": True, "aggs": aggs})
        found = {"documents": answer["hits"]["total"]["value"]}
        found |= {
            name: int(value.get("doc_count", value.get("value"))) for name, value in answer["aggregations"].items()
        }
        right = sum(map(is_right, range(predictions)))
        expected = {**dict.fromkeys(found, predictions), "right": right}
        print(f"  checked: {found}")
        if found != expected:
            self.problems.append(f"expected {expected}, found {found}")

    def _bytes_on_disk(self, index: str) -> float:
        # Flushed first: the engine retains overwritten documents while a recovery might need them.
        for step in ("_flush?force=true", "_forcemerge?max_num_segments=1", "_flush?force=true", "_refresh"):
            self.engine.ask("POST", f"/{index}/{step}")
        return float(self.engine.ask("GET", f"/{index}/_stats/store")["_all"]["primaries"]["store"]["size_in_bytes"])

    def _report(self, rows: dict[str, list[Run]]) -> None:
        rates = {name: statistics.median(self.predictions / run.seconds for run in runs) for name, runs in rows.items()}
        costs = {name: self._costs(runs) for name, runs in rows.items()}
        print(
            f"{'':22}{'documents/s':>12}{'events/s':>10}{'of raw':>8}{'writes':>8}{'conflicts':>11}{'cores':>7}"
            "   CPU ms per 1,000 events"
        )
        for name, runs in rows.items():
            raw = RAW.format(WAYS[name][0]) if name in WAYS else RAW.format(1) if name == UPSERT else name
            share = rates[name] / rates[raw]
            spent = ", ".join(f"{key} {value:.0f}" for key, value in costs[name].items() if value >= 0.5)
            events = f"{_EVENTS * rates[name]:.0f}" if name in WAYS else ""
            # All programs together; close to the machine's cores, CPU is the only limit.
            cores = _EVENTS * rates[name] * sum(costs[name].values()) / 1e6
            print(
                f"{name:22}{rates[name]:>12.0f}{events:>10}{share:>8.2f}{runs[-1].writes:>8.2f}"
                f"{runs[-1].conflicts:>11.2f}{cores:>7.1f}   {spent}"
            )
            if name in WAYS and share < EXPECTED_SHARE:
                alone = costs[raw]["engine"] / costs[name]["engine"]
                self.problems.append(
                    f"{name}: expected at least {EXPECTED_SHARE} of the raw _bulk, found {share:.2f}; {cores:.1f} of "
                    f"{psutil.cpu_count()} cores were in use; with consumers on other machines the engine's CPU would "
                    f"allow {alone:.2f}"
                )
        print("writes, conflicts: per document. of raw: documents/s / those of a raw _bulk by as many senders.")
        print("A document of a raw _bulk counts as its three events.")
        bodies = [len(value) for _, value in in_order(100, "x", *self.options)]
        print(
            f"a body has {statistics.mean(bodies):.0f} bytes, a document {self.disk:.0f} on disk (one merged segment)"
        )

    def _costs(self, runs: list[Run]) -> dict[str, float]:
        """Return CPU milliseconds of each program per 1,000 events; a document of a raw _bulk counts as three."""
        return {
            key: statistics.median(run.cpu.get(key, 0.0) for run in runs) / (_EVENTS * self.predictions) * 1e6
            for key in runs[0].cpu
        }

    def kill(self) -> int:
        """Kill the consumer three times while a second one joins."""
        deployment = f"k{uuid.uuid4().hex[:8]}"
        topic = self.broker.make_topic(deployment, PARTITIONS)
        records = 3 * self.predictions
        records_to_write = in_order(self.predictions, deployment, *self.options)
        produce(self.broker.address, topic, records_to_write, PARTITIONS, spread="random")
        print(f"{records} records in {PARTITIONS} partitions")
        started = time.monotonic()
        first = self._start(topic).wait("/healthz")
        second = None
        for number in range(1, 4):
            goal = number * records // 5
            wait_until(lambda goal=goal: self._committed(topic) >= goal, 0.1)
            first.kill()
            print(f"  {time.monotonic() - started:5.1f} s: {self._committed(topic)} committed, killed")
            first = self._start(topic).wait("/healthz")
            if second is None:
                second = self._start(topic).wait("/healthz")
                print(f"  {time.monotonic() - started:5.1f} s: a second consumer joins")
        wait_until(lambda: self._committed(topic) >= records, 0.2)
        seconds = time.monotonic() - started
        read = sum(process.metric("request_logger_kafka_consumed_total") for process in (first, second) if process)
        print(f"  {seconds:5.1f} s: all {records} committed; the two running consumers have read {read:.0f}")
        for process in (first, second):
            if process:
                process.stop()
        self._check(deployment, self.predictions)
        print(f"{records / seconds:.0f} events/s, including starts and session timeouts of killed consumers (2 s each)")
        return self._verdict()

    def _committed(self, topic: str) -> int:
        return sum(self.broker.committed(topic, PARTITIONS, topic))

    def _verdict(self) -> int:
        for problem in self.problems:
            print(f"FAILED: {problem}")
        return int(bool(self.problems))


def in_order(predictions: int, deployment: str, feedback_after: int, columns: int) -> Iterator[Message]:
    """Yield the records in the order of writing; a feedback follows its response ``feedback_after`` records later."""
    waiting: list[Message] = []
    for number in range(predictions):
        request, response, feedback = prediction(number, deployment, columns)
        # One response in this many precedes its request.
        yield from (response, request) if number % _SHUFFLE == 0 else (request, response)
        waiting.append(feedback)
        if len(waiting) > feedback_after // 3:
            yield waiting.pop(0)
    yield from waiting


def is_right(number: int) -> bool:
    """Return whether the prediction of that number is right."""
    scores, truth = scores_and_truth(number)
    return scores.index(max(scores)) == truth


def stored(process: ConsumerProcess) -> float:
    """Return the number of events that a consumer has stored."""
    return process.metric("request_logger_events_total", outcome="stored")


def as_upsert(line: bytes) -> bytes:
    """Convert the two lines of an ``index`` action to the action that the store sends."""
    action, source = line.splitlines()
    return b'%b\n{"doc":{},"_source":true,"upsert":%b}\n' % (action.replace(b'"index"', b'"update"', 1), source)


def send(url: str, bodies: Sequence[bytes], start: Any, end: Any) -> None:
    """Send the bodies of _bulk requests one by one."""
    client = Client(url)
    start.wait()
    for body in bodies:
        if client.ask("POST", "/_bulk", body)["errors"]:
            raise RuntimeError("_bulk: an item failed")
    end.wait()


def cpu_of(process: psutil.Process) -> float:
    """The CPU seconds that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What was used between."""
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


def wait_until(what: Any, every: float, seconds: float = 600) -> None:
    """Ask every so many seconds until the answer is yes. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not hold in time")
        time.sleep(every)


if __name__ == "__main__":
    sys.exit(main())
