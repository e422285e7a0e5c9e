"""`python -m bench.core2`: Seldon Core 2's topics from a real Kafka, with feedback over HTTP and killed consumers.

Predictions alternate between a pipeline and a model, and their bodies between V2 JSON and protobuf, with and without
the frame of a schema registry. Request and response are in the same partition of their topics, as Core 2 writes them.
Two consumers read them. First a part of the predictions is read without faults: writes per document. They are written
while both consumers, which have joined the group, are suspended (SIGSTOP): a consumer that joins while the other reads
takes partitions over, whose last records are then read twice. Then all are read while one of the consumers is killed
with -9 twice, and a logger gets the feedback of all of them over HTTP meanwhile.

At the end each prediction must be one document with request, response, feedback and metrics, and the number of correct
predictions must be that of what was sent.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from confluent_kafka import Producer

from bench.engines import Client, engine_url
from bench.kafka import stored, wait_until
from bench.stored import writes as indexed
from request_logger.demo.local_server import LocalServer, engine_settings
from request_logger.payloads.protobuf_messages import message_class
from tests.kafka_broker import Broker, start_kafka
from tests.kafka_helpers import ConsumerProcess

PARTITIONS = 6
KINDS = ("pipeline", "model")
MOST_WRITES = 1.1
"""Writes per document that two consumers may need at most."""
_NAMESPACE = "bench"
# The share that is read without faults.
_CALM = 5
_FEEDBACK_AT_ONCE = 500
_FRAME = b"\0\0\0\0\7"
_RECORDS = 2
# A suspended consumer stays in the group while the records are written.
_PATIENT = "session.timeout.ms=45000\nheartbeat.interval.ms=500"


@dataclass(frozen=True)
class Traffic:
    """The predictions of one run, under a prefix of its own."""

    prefix: str
    name: str
    predictions: int

    def topic(self, kind: str, direction: str) -> str:
        """Return a topic's name."""
        return f"{self.prefix}.{_NAMESPACE}.{kind}.{self.name}.{direction}"

    @property
    def topics(self) -> list[str]:
        """All topics."""
        return [self.topic(kind, direction) for kind in KINDS for direction in ("inputs", "outputs")]

    @property
    def indices(self) -> str:
        """The pattern of the documents' indices."""
        return f"inference-log-seldon-{_NAMESPACE}-{self.name}-*"


def scores_and_truth(number: int) -> tuple[list[float], int]:
    """Return the response and the truth of a prediction, the same for the same number."""
    chance = random.Random(number)
    score = round(chance.random(), 6)
    return [score, 1 - score], chance.randrange(2)


def bodies(number: int) -> tuple[bytes, bytes, str]:
    """Return request and response, as JSON or protobuf, and the beginning of the header that says which."""
    scores, _ = scores_and_truth(number)
    row = [float(number), number % 7, 0.5]
    frame = _FRAME if number % 8 < 4 else b""
    if number // 2 % 2:
        inputs = [{"name": "x", "datatype": "FP64", "shape": [1, 3], "data": row}]
        outputs = [{"name": "p", "datatype": "FP64", "shape": [1, 2], "data": scores}]
        request, response = {"inputs": inputs}, {"model_name": "m", "outputs": outputs}
        return frame + json.dumps(request).encode(), frame + json.dumps(response).encode(), "json"
    request = message_class("ModelInferRequest")(model_name="m")
    request.inputs.add(name="x", datatype="FP64", shape=[1, 3]).contents.fp64_contents.extend(row)
    response = message_class("ModelInferResponse")(model_name="m")
    response.outputs.add(name="p", datatype="FP64", shape=[1, 2]).contents.fp64_contents.extend(scores)
    # The frame of protobuf has the path of the type as well: a zero stands for the first one.
    frame = frame and frame + b"\0"
    return frame + request.SerializeToString(), frame + response.SerializeToString(), "proto"


def produce(broker: Broker, traffic: Traffic) -> None:
    """Write all records: the response some records after its request, in the same partition."""
    producer = Producer(
        {"bootstrap.servers": broker.address, "log_level": 0, "queue.buffering.max.messages": 1_000_000}
    )
    waiting: list[tuple[str, bytes, bytes, int, list[tuple[str, str | bytes | None]]]] = []
    for number in range(traffic.predictions):
        kind, partition = KINDS[number % 2], number // 2 % PARTITIONS
        request, response, form = bodies(number)
        key = f"{partition}.{traffic.name}.p{number}".encode()
        headers: list[tuple[str, str | bytes | None]] = [("x-request-id", f"p{number}")]
        told = [*headers, ("seldon-infer-type", f"{form}/inferModelRequest")]
        producer.produce(traffic.topic(kind, "inputs"), request, key, partition, headers=told)
        told = [*headers, ("seldon-infer-type", f"{form}/inferModelResponse")]
        waiting.append((traffic.topic(kind, "outputs"), response, key, partition, told))
        if len(waiting) > 20:
            topic, value, key, partition, told = waiting.pop(0)
            producer.produce(topic, value, key, partition, headers=told)
        if number % 1000 == 0:
            producer.poll(0)
    for topic, value, key, partition, told in waiting:
        producer.produce(topic, value, key, partition, headers=told)
    if producer.flush(120):
        raise RuntimeError("Kafka did not take all records")


def feedback(traffic: Traffic, numbers: Sequence[int]) -> bytes:
    """Return the feedback of some predictions as lines for POST /v1/feedback."""
    # With a time: a feedback that is sent again, because some of its call was answered 503, is then a duplicate.
    common = {"deployment": traffic.name, "namespace": _NAMESPACE, "time": "2026-01-02T03:04:05Z"}
    lines = [
        {**common, "predictor": KINDS[number % 2], "request_id": f"p{number}", "truth": scores_and_truth(number)[1]}
        for number in numbers
    ]
    return b"\n".join(json.dumps(line).encode() for line in lines)


def send_feedback(url: str, traffic: Traffic, done: threading.Event, failures: list[str]) -> None:
    """Send the feedback of all predictions: some of it before its prediction was read, some after."""
    for start in range(0, traffic.predictions, _FEEDBACK_AT_ONCE):
        body = feedback(traffic, range(traffic.predictions)[start : start + _FEEDBACK_AT_ONCE])
        for _ in range(20):
            answer = requests.post(
                f"{url}/v1/feedback", body, headers={"Content-Type": "application/x-ndjson"}, timeout=60
            )
            if answer.status_code == 200:
                break
            time.sleep(0.5)
        else:
            failures.append(f"feedback from {start} on was answered {answer.status_code}")
    done.set()


class Bench:
    """The runs on one engine and one Kafka."""

    def __init__(self, url: str, broker: Broker, folder: Path) -> None:
        self.url = url
        self.engine = Client(url)
        self.broker = broker
        self.folder = folder
        self.problems: list[str] = []
        self._logs = 0

    def without_faults(self, predictions: int) -> None:
        """Let two consumers read predictions, and count their writes."""
        traffic = self._traffic(predictions)
        consumers = [self._start(traffic, KAFKA_CONFIG=_PATIENT) for _ in range(2)]
        half = len(traffic.topics) * PARTITIONS // 2
        for consumer in consumers:
            consumer.wait("/readyz")
        wait_until(lambda: all(_assigned(each) == half for each in consumers), 0.2)
        for consumer in consumers:
            consumer.process.send_signal(signal.SIGSTOP)
        produce(self.broker, traffic)
        for consumer in consumers:
            consumer.process.send_signal(signal.SIGCONT)
        wait_until(lambda: sum(map(stored, consumers)) >= _RECORDS * predictions, 0.1)
        writes = sum(each.metric("request_logger_bulk_changes_sum") for each in consumers) / predictions
        read = [round(each.metric("request_logger_kafka_consumed_total")) for each in consumers]
        for consumer in consumers:
            consumer.stop()
        print(f"{predictions:,} predictions, two consumers ({read[0]:,} and {read[1]:,} records)")
        self._writes("consumers, without faults", writes)
        self._writes("the same, by the engine", indexed(self.engine, traffic.indices) / predictions)
        if min(read) == 0:
            self.problems.append("one of two consumers has read nothing")
        self._check(traffic, has_feedback=False)

    def killed(self, predictions: int) -> None:
        """Let two consumers read predictions, kill one of them twice, and send the feedback meanwhile."""
        traffic = self._traffic(predictions)
        produce(self.broker, traffic)
        records = _RECORDS * predictions
        started = time.monotonic()
        done, failures = threading.Event(), self.problems
        with LocalServer({**engine_settings(self.url), "GUNICORN_WORKERS": "1"}) as server:
            sending = threading.Thread(target=send_feedback, args=(server.url, traffic, done, failures), daemon=True)
            sending.start()
            consumers = [self._start(traffic) for _ in range(2)]
            for number in (1, 2):
                wait_until(lambda number=number: self._committed(traffic) >= number * records // 3, 0.1)
                consumers[0].kill()
                print(f"  {time.monotonic() - started:5.1f} s: {self._committed(traffic):,} committed, one is killed")
                consumers[0].stop()
                consumers[0] = self._start(traffic)
            wait_until(lambda: self._committed(traffic) >= records, 0.2)
            seconds = time.monotonic() - started
            print(f"  {seconds:5.1f} s: all {records:,} records are committed")
            wait_until(done.is_set, 0.2)
            print(f"  {time.monotonic() - started:5.1f} s: the feedback of all is stored")
        for consumer in consumers:
            consumer.stop()
        print(f"{predictions:,} predictions, {records / seconds:,.0f} records/s with the kills")
        # The logger writes each document once, with its feedback.
        self._writes("consumers, with the kills", indexed(self.engine, traffic.indices) / predictions - 1)
        self._check(traffic, has_feedback=True)

    def _traffic(self, predictions: int) -> Traffic:
        unique = uuid.uuid4().hex[:8]
        traffic = Traffic(f"c{unique}", f"m{unique}", predictions)
        for topic in traffic.topics:
            self.broker.make_topic(topic, PARTITIONS)
        return traffic

    def _start(self, traffic: Traffic, **env: str) -> ConsumerProcess:
        self._logs += 1
        log = self.folder / f"{self._logs}.log"
        prefix = traffic.prefix
        env = {"KAFKA_TOPIC": "", "SELDON_KAFKA_PREFIX": prefix, **env}
        return ConsumerProcess(self.url, log, self.broker.address, prefix, **env)

    def _writes(self, whose: str, writes: float) -> None:
        print(f"  {whose}: {writes:.3f} writes per document")
        if writes > MOST_WRITES:
            self.problems.append(f"{whose}: expected at most {MOST_WRITES} writes per document, found {writes:.3f}")

    def _committed(self, traffic: Traffic) -> int:
        return sum(sum(self.broker.committed(topic, PARTITIONS, traffic.prefix)) for topic in traffic.topics)

    def _check(self, traffic: Traffic, *, has_feedback: bool) -> None:
        """Compare the documents with what was sent."""
        self.engine.ask("POST", f"/{traffic.indices}/_refresh")
        parts = ("request", "response", "feedback")
        aggs: dict[str, Any] = {part: {"filter": {"exists": {"field": f"{part}.ce-time"}}} for part in parts}
        aggs["scored"] = {"value_count": {"field": "metrics.correct"}}
        aggs["right"] = {"sum": {"field": "metrics.correct"}}
        answer = self.engine.ask(
            "POST", f"/{traffic.indices}/_search", {"size": 0, "track_total_hits": True, "aggs": aggs}
        )
        found = {"documents": answer["hits"]["total"]["value"]}
        found |= {name: int(each.get("doc_count", each.get("value"))) for name, each in answer["aggregations"].items()}
        count = traffic.predictions
        expected = {**dict.fromkeys(found, count), "right": sum(map(is_right, range(count)))}
        if not has_feedback:
            expected |= {"feedback": 0, "scored": 0, "right": 0}
        print(f"  checked: {found}")
        if found != expected:
            self.problems.append(f"expected {expected}, found {found}")
        for kind in KINDS:
            self.engine.drop(traffic.indices.replace("*", kind))


def _assigned(consumer: ConsumerProcess) -> int:
    """Return how many partitions a consumer has."""
    name = "request_logger_kafka_rebalances_total"
    lost = sum(consumer.metric(name, what=event) for event in ("revoked", "lost"))
    return round(consumer.metric(name, what="assigned") - lost)


def is_right(number: int) -> bool:
    """Return whether the prediction of that number is right."""
    scores, truth = scores_and_truth(number)
    return scores.index(max(scores)) == truth


def main(given: Sequence[str] | None = None) -> int:
    """Run, check and print; status 1 if something is missing, or two consumers write too often."""
    parser = argparse.ArgumentParser(prog="python -m bench.core2", description="Seldon Core 2's topics.")
    parser.add_argument("--predictions", type=int, default=100_000, help="predictions (default: 100,000)")
    arguments = parser.parse_args(given)
    with ExitStack() as stack:
        url = stack.enter_context(engine_url())
        broker = stack.enter_context(start_kafka(lambda line: print(line, file=sys.stderr)))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="request-logger-core2-")))
        bench = Bench(url, broker, folder)
        bench.without_faults(max(arguments.predictions // _CALM, 1))
        bench.killed(arguments.predictions)
    for problem in bench.problems:
        print(f"FAILED: {problem}")
    return int(bool(bench.problems))


if __name__ == "__main__":
    sys.exit(main())
