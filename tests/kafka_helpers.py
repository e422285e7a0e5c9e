"""What the tests of `request-logger consume` share: traffic for a topic, and consumers as real processes."""

from __future__ import annotations

import json
import random
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from confluent_kafka import Consumer, Producer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families
from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support

from tests.helpers import Index, Server, index_of
from tests.kafka_broker import Broker

CLASSES = ("setosa", "versicolor", "virginica")
Message = tuple[list[tuple[str, bytes]], bytes]


def headers(part: str, request_id: str, deployment: str, prefix: str = "", **others: str) -> list[tuple[str, bytes]]:
    """Headers as the executor writes them; with the prefix ``ce_`` those of CloudEvents' binary mode."""
    kind = "feedback" if part == "feedback" else f"inference.{part}"
    attributes = {
        "type": f"io.seldon.serving.{kind}",
        "requestid": request_id,
        "modelid": "classifier",
        "inferenceservicename": deployment,
        "namespace": "test",
        "endpoint": "default",
        **others,
    }
    pairs = [(f"{prefix}{name}", value.encode()) for name, value in attributes.items()]
    return [("content-type", b"application/json"), *pairs]


def scores_and_truth(number: int) -> tuple[list[float], int]:
    """The response and the truth of a prediction, the same for the same number."""
    chance = random.Random(number)
    weights = [chance.random() for _ in CLASSES]
    return [weight / sum(weights) for weight in weights], chance.randrange(len(CLASSES))


def prediction(number: int, deployment: str, columns: int = 2) -> list[Message]:
    """Request, response and feedback; the request has so many columns."""
    request_id = f"p{number}"
    scores, truth = scores_and_truth(number)
    names = ["a", "b", *(f"c{column}" for column in range(2, columns))][:columns]
    row = [number, number % 7, *(round(column * scores[0], 6) for column in range(2, columns))][:columns]
    bodies: dict[str, Any] = {
        "request": {"data": {"names": names, "ndarray": [row]}},
        "response": {"data": {"names": CLASSES, "ndarray": [scores]}, "meta": {}},
        "feedback": {"reward": 1, "truth": {"data": {"ndarray": [truth]}}},
    }
    return [(headers(part, request_id, deployment), json.dumps(body).encode()) for part, body in bodies.items()]


def shuffled(messages: Iterable[Message], seed: int = 1, window: int = 60) -> list[Message]:
    """The same messages, each within some of its place: a response may come before its request."""
    chance = random.Random(seed)
    numbered = sorted(enumerate(messages), key=lambda pair: pair[0] + chance.uniform(0, window))
    return [message for _, message in numbered]


def produce(
    brokers: str, topic: str, messages: Iterable[Message], partitions: int = 1, *, spread: str = "round"
) -> None:
    """Write messages without keys: round the partitions, at ``random``, or (``keyed``) one partition a request id."""
    chance = random.Random(partitions)
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "log_level": 0,
            "queue.buffering.max.messages": 1_000_000,
            # A batch can only be fetched whole, and those of an executor, which sends after 5 ms, are small.
            "batch.num.messages": 20,
        }
    )
    for number, (pairs, value) in enumerate(messages):
        place = number
        if spread == "keyed":
            place = zlib.crc32(dict(pairs)["requestid"])
        elif spread == "random":
            place = chance.randrange(partitions)
        producer.produce(topic, value, headers=list(pairs), partition=place % partitions)
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0


def read_all(brokers: str, topic: str, count: int) -> Iterator[Any]:
    """Read so many records from the start of a topic's first partition."""
    reader = Consumer({"bootstrap.servers": brokers, "group.id": "reader", "auto.offset.reset": "earliest"})
    reader.assign([TopicPartition(topic, 0, 0)])
    messages = reader.consume(count, timeout=10)
    reader.close()
    return iter(messages)


class ConsumerProcess(Server):
    """A `request-logger consume` process."""

    command = "consume"

    def __init__(self, engine_url: str, log: Path, brokers: str, topic: str, **env: str) -> None:
        defaults = {
            "KAFKA_TOPIC": topic,
            "KAFKA_GROUP_ID": topic,
            "KAFKA_CONFIG": "session.timeout.ms=2000\nheartbeat.interval.ms=500",
        }
        super().__init__(engine_url, log, KAFKA_BROKERS=brokers, **{**defaults, **env})

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        text = requests.get(f"{self.url}/metrics", timeout=10).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def wait_for(what: Any, seconds: float = 30.0) -> None:
    """Wait until a function says yes."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def is_read(kafka: Broker, topic: str, counts: list[int]) -> bool:
    """Whether the group of a topic's name has committed these offsets, per partition."""
    return kafka.committed(topic, len(counts), topic) == counts


def check_whole(index: Index, deployment: str, count: int) -> None:
    """So many whole documents; what the engine sums up is what scikit-learn makes of the same pairs."""
    documents = index.documents(index_of(deployment))
    assert sorted(id for _, id in documents) == sorted(f"p{number}" for number in range(count))
    for source in documents.values():
        assert {"request", "response", "feedback", "metrics"} <= set(source)
    pairs = [scores_and_truth(number) for number in range(count)]
    scores, truth = np.array([scores for scores, _ in pairs]), [truth for _, truth in pairs]
    predicted = scores.argmax(axis=1)
    cells = ("true_positive", "false_positive", "false_negative")
    answer = index.aggregate(
        index_of(deployment),
        {
            "accuracy": {"avg": {"field": "metrics.correct"}},
            "log_loss": {"avg": {"field": "metrics.log_loss"}},
            **{cell: {"terms": {"field": f"metrics.{cell}"}} for cell in cells},
        },
    )
    assert answer["accuracy"]["value"] == pytest.approx(accuracy_score(truth, predicted), abs=1e-9)
    assert answer["log_loss"]["value"] == pytest.approx(log_loss(truth, scores), abs=1e-9)
    counts = {cell: {bucket["key"]: bucket["doc_count"] for bucket in answer[cell]["buckets"]} for cell in cells}
    precision, recall, _, _ = precision_recall_fscore_support(truth, predicted)
    for number, name in enumerate(CLASSES):
        hits = counts["true_positive"][name]
        assert hits / (hits + counts["false_positive"][name]) == pytest.approx(precision[number], abs=1e-9)
        assert hits / (hits + counts["false_negative"][name]) == pytest.approx(recall[number], abs=1e-9)
