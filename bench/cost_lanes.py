"""The ways in which the benchmark of costs sends predictions: batches, single events, ordinary traffic, and Kafka."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from bench import load, open_loop
from bench.first import PARTS
from bench.ordinary_traffic import Traffic
from bench.probe import Probe, Row, Sent, metric
from bench.shapes import Shape
from bench.versions import Side

BATCHED = {"Content-Type": "application/cloudevents-batch+json"}
# Large enough for large _bulk requests, and far below MAX_STRUCTURED_BYTES.
_BATCH_BYTES = 1_000_000
_BATCH_EVENTS = 99
_BATCH_CONNECTIONS = 4
_KAFKA_SECONDS = 300.0
_PARTITIONS = 3

# The parts that arrive together, for each number of writes per document.
WRITES: dict[int, tuple[tuple[str, ...], ...]] = {
    1: (PARTS,),
    2: (PARTS[:2], PARTS[2:]),
    3: tuple((part,) for part in PARTS),
}
CONNECTIONS = (16, 64)
Lane = Callable[[Probe, Side, Shape, int], Row]
"""Sends so many requests (of one prediction, or of a batch) to one side."""


def batches(writes: int) -> Lane:
    """Return the lane in which a document is written so many times, in large _bulk requests."""

    def run(probe: Probe, side: Side, shape: Shape, predictions: int) -> Row:
        def prepare(deployment: str) -> Callable[[], Sent]:
            url = side.server.url
            groups = [batched(url, shape, deployment, predictions, parts) for parts in WRITES[writes]]
            return lambda: _in_turns(url, groups)

        return probe.measure(side, shape, f"writes-{writes}", predictions, prepare)

    return run


def batched(
    url: str, shape: Shape, deployment: str, predictions: int, parts: Sequence[str]
) -> list[tuple[load.Request, list[tuple[int, str]]]]:
    """Return requests with batches of these parts of all predictions, and the events of each; parts stay together."""
    each = len(parts) * shape.body_bytes
    size = max(1, min(_BATCH_BYTES // each, _BATCH_EVENTS // len(parts)))
    found = []
    for start in range(0, predictions, size):
        keys = [(number, part) for number in range(start, min(start + size, predictions)) for part in parts]
        body = json.dumps([shape.structured(deployment, *key) for key in keys]).encode()
        found.append((load.Request((start, "batch"), load.post(url, BATCHED, body)), keys))
    return found


def _in_turns(url: str, groups: Sequence[Sequence[tuple[load.Request, list[tuple[int, str]]]]]) -> Sent:
    """Send each group after the one before it is stored."""
    acknowledged: list[tuple[int, str]] = []
    refused: Counter[int] = Counter()
    events, started = 0, time.monotonic()
    for group in groups:
        keys = {request.key: held for request, held in group}
        events += sum(map(len, keys.values()))
        due = [open_loop.Due(0.0, request) for request, _ in group]
        for answer in open_loop.send(url, due, connections=_BATCH_CONNECTIONS):
            if answer.acknowledged:
                acknowledged += keys[answer.key]
            else:
                refused[answer.status] += 1
    return Sent(acknowledged, events, time.monotonic() - started, refused=refused)


def single(connections: int) -> Lane:
    """Return the lane with one event per request, at full load over so many connections."""

    def run(probe: Probe, side: Side, shape: Shape, predictions: int) -> Row:
        def prepare(deployment: str) -> Callable[[], Sent]:
            url = side.server.url
            events = [shape.event(url, deployment, number, part) for number in range(predictions) for part in PARTS]
            return lambda: _sent(load.run(url, events, connections=connections))

        return probe.measure(side, shape, f"http-{connections}", predictions, prepare)

    return run


def _sent(run: load.Run) -> Sent:
    acknowledged = [result.key for result in run.results if 200 <= result.status < 300]
    refused = Counter(result.status for result in run.results if not 200 <= result.status < 300)
    times = [result.seconds for result in run.results]
    return Sent(acknowledged, len(run.results), run.seconds, times, refused=refused)


def ordinary(traffic: Traffic) -> Lane:
    """Return the lane of ordinary traffic, whose length doesn't depend on the number of predictions."""

    def run(probe: Probe, side: Side, shape: Shape, _: int) -> Row:
        def prepare(deployment: str) -> Callable[[], Sent]:
            events = traffic.events(side.server.url, shape, deployment)
            return lambda: traffic.send(side.server.url, events)

        return probe.measure(side, shape, "ordinary", traffic.predictions, prepare)

    return run


class Kafka:
    """A broker for the lane over Kafka, started at its first use. A context manager that stops it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._broker: Any = None

    def __enter__(self) -> Kafka:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, probe: Probe, side: Side, shape: Shape, predictions: int) -> Row:
        """Let one consumer read all events of the predictions, each prediction's in sequence."""
        # Only this lane needs a broker and its client.
        from tests.kafka_broker import start_kafka  # noqa: PLC0415
        from tests.kafka_helpers import produce  # noqa: PLC0415

        if self._broker is None:
            self._broker = self._stack.enter_context(start_kafka(lambda line: print(line, file=sys.stderr)))
        broker = self._broker
        topic = broker.make_topic(f"cost-{time.monotonic_ns()}", _PARTITIONS)
        with side.consumer(broker.address, topic) as consumer:

            def prepare(deployment: str) -> Callable[[], Sent]:
                records = [_record(shape, deployment, number, part) for number in range(predictions) for part in PARTS]

                def work() -> Sent:
                    started = time.monotonic()
                    produce(broker.address, topic, records, _PARTITIONS, spread="keyed")
                    _until(
                        lambda: metric(consumer.url, "request_logger_events_total", outcome="stored") >= len(records)
                    )
                    keys = [(number, part) for number in range(predictions) for part in PARTS]
                    return Sent(keys, len(records), time.monotonic() - started)

                return work

            return probe.measure(side, shape, "kafka", predictions, prepare, consumer)


def _record(shape: Shape, deployment: str, number: int, part: str) -> tuple[list[tuple[str, bytes]], bytes]:
    # As the executor writes them: the attributes without a prefix.
    headers = [
        (name.lower().removeprefix("ce-"), value.encode())
        for name, value in shape.headers(deployment, number, part).items()
    ]
    return headers, json.dumps(shape.make(number)[part]).encode()


def _until(what: Callable[[], bool]) -> None:
    """Wait until a function returns true. Raises TimeoutError."""
    deadline = time.monotonic() + _KAFKA_SECONDS
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the consumer has not stored all records within {_KAFKA_SECONDS:.0f} s")
        # Rarely, since the consumer computes its metrics each time.
        time.sleep(0.5)
