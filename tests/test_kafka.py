"""`request-logger consume` on a real Kafka and a real engine: nothing is missing or duplicated, whatever fails."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests

from request_logger.common.names import other_owner
from request_logger.kafka.binding import event_of
from request_logger.kafka.record import Record
from request_logger.settings import Settings
from tests.helpers import DATA, Index, index_of
from tests.kafka_broker import Broker, start_kafka
from tests.kafka_helpers import (
    ConsumerProcess,
    check_whole,
    headers,
    is_read,
    prediction,
    produce,
    read_all,
    shuffled,
    wait_for,
)
from tests.model import in_order, without_times

pytestmark = pytest.mark.engine

DEAD_LETTERS = "request-logger-dead-letters"


@pytest.fixture(scope="module")
def kafka() -> Iterator[Broker]:
    with start_kafka() as broker:
        yield broker


@pytest.fixture
def topic() -> str:
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def consume(kafka: Broker, topic: str, engine: Any, tmp_path: Path) -> Iterator[Callable[..., ConsumerProcess]]:
    """Start members of the topic's group."""
    started: list[ConsumerProcess] = []

    def start(engine_url: str | None = None, *, ready: bool = True, **env: str) -> ConsumerProcess:
        log = tmp_path / f"{len(started)}.log"
        process = ConsumerProcess(engine_url or engine.url, log, kafka.address, topic, **env)
        started.append(process)
        process.wait("/readyz" if ready else "/healthz")
        return process

    yield start
    for process in started:
        # What an orderly end does is tested by itself; here nobody has to wait for it.
        if process.process.poll() is None:
            process.kill()
        process.stop()


def test_killed_consumer_and_a_second_one_lose_and_double_nothing(
    kafka: Broker, topic: str, consume: Callable[..., ConsumerProcess], index: Index, deployment: str
) -> None:
    """6,000 events over 4 partitions; the consumer is killed -9 half-way, another takes over, and a second joins."""
    count = 2000
    kafka.make_topic(topic, 4)
    messages = shuffled(message for number in range(count) for message in prediction(number, deployment))
    produce(kafka.address, topic, messages[:3000], 4)
    first = consume(KAFKA_MAX_IN_FLIGHT="300")
    wait_for(lambda: first.metric("request_logger_kafka_consumed_total") > 600)
    first.kill()
    second = consume()
    third = consume(ready=False)
    produce(kafka.address, topic, messages[3000:], 4)
    # The dead one's partitions move when its session ends.
    wait_for(lambda: is_read(kafka, topic, [len(messages) // 4] * 4), 60)
    check_whole(index, deployment, count)
    wait_for(lambda: second.metric("request_logger_kafka_lag") + third.metric("request_logger_kafka_lag") == 0)


def numbers_read(consumer: ConsumerProcess, topics: list[str]) -> list[set[int]]:
    """The numbers of the partitions that a consumer has read, per topic."""
    return [
        {
            number
            for number in range(4)
            if consumer.metric("request_logger_kafka_consumed_total", topic=name, partition=str(number))
        }
        for name in topics
    ]


def test_range_gives_a_prediction_to_one_consumer(
    kafka: Broker, topic: str, consume: Callable[..., ConsumerProcess], index: Index, deployment: str
) -> None:
    """A topic per part, and keys: each of two consumers reads the same partition numbers of all three topics."""
    count = 200
    topics = [kafka.make_topic(f"{topic}-{part}", 4) for part in ("request", "response", "feedback")]
    settings = {"KAFKA_TOPIC": ",".join(topics), "KAFKA_ASSIGNMENT": "range"}
    first, second = consume(**settings), consume(**settings)
    # The first one gives up half of its partitions when the second one joins.
    wait_for(lambda: second.metric("request_logger_kafka_rebalances_total", what="assigned") >= 6)
    for name, messages in zip(
        topics, zip(*(prediction(n, deployment) for n in range(count)), strict=True), strict=True
    ):
        produce(kafka.address, name, messages, 4, spread="keyed")
    wait_for(lambda: all(sum(kafka.committed(name, 4, topic)) == count for name in topics), 60)
    check_whole(index, deployment, count)
    one, other = (numbers_read(consumer, topics) for consumer in (first, second))
    assert one[0] == one[1] == one[2]
    assert other[0] == other[1] == other[2]
    assert (len(one[0]), one[0] | other[0]) == (2, {0, 1, 2, 3})


def test_consumers_share_the_partitions_and_one_leaves(
    kafka: Broker, topic: str, consume: Callable[..., ConsumerProcess], index: Index, deployment: str
) -> None:
    """A second member gets its share while events come, SIGTERM gives it back at once: all is committed, exit 0."""
    count = 1500
    kafka.make_topic(topic, 4)
    messages = shuffled(message for number in range(count) for message in prediction(number, deployment))
    first = consume()
    produce(kafka.address, topic, messages[:2000], 4)
    second = consume()
    wait_for(lambda: second.metric("request_logger_kafka_rebalances_total", what="assigned") > 0)
    assert first.metric("request_logger_kafka_rebalances_total", what="revoked") > 0
    produce(kafka.address, topic, messages[2000:3000], 4)
    wait_for(lambda: second.metric("request_logger_kafka_consumed_total") > 0)
    second.process.terminate()
    assert second.process.wait(30) == 0
    produce(kafka.address, topic, messages[3000:], 4)
    wait_for(lambda: is_read(kafka, topic, [len(messages) // 4 + (p < len(messages) % 4) for p in range(4)]))
    check_whole(index, deployment, count)
    # Nobody read anything twice: what was under way was finished and committed before it moved.
    first.process.terminate()
    assert first.process.wait(30) == 0


def test_engine_down_and_back(
    kafka: Broker, topic: str, consume: Callable[..., ConsumerProcess], mortal: Any, deployment: str
) -> None:
    """While the engine is away nothing is committed and the member stays; SIGTERM ends it; all is there afterwards."""
    count = 400
    kafka.make_topic(topic, 2)
    messages = shuffled(message for number in range(count) for message in prediction(number, deployment))
    env = {"STORE_TIMEOUT_SECONDS": "2", "KAFKA_MAX_IN_FLIGHT": "200"}
    process = consume(mortal.url, **env)
    produce(kafka.address, topic, messages[:600], 2)
    wait_for(lambda: is_read(kafka, topic, [300, 300]))
    mortal.kill()
    produce(kafka.address, topic, messages[600:], 2)
    wait_for(lambda: process.metric("request_logger_kafka_paused") == 1)
    assert is_read(kafka, topic, [300, 300])
    assert requests.get(f"{process.url}/healthz", timeout=10).status_code == 200
    assert requests.get(f"{process.url}/readyz", timeout=10).status_code == 503
    wait_for(lambda: process.metric("request_logger_kafka_lag") == 600)
    # Ended without the engine: it leaves at once, and commits nothing that isn't stored.
    process.process.terminate()
    assert process.process.wait(15) == 0
    assert is_read(kafka, topic, [300, 300])
    process = consume(mortal.url, ready=False, **env)
    mortal.restart()
    wait_for(lambda: is_read(kafka, topic, [600, 600]), 60)
    check_whole(Index(mortal.url), deployment, count)


POISON = [
    ([("type", b"io.seldon.serving.inference.request")], b"{}", "Requestid: missing"),
    ([("requestid", b"x")], b"{}", "Type: missing"),
    ([("content-type", b"application/cloudevents+json")], b"{no json", "expected a CloudEvent as JSON"),
    ([("content-type", b"application/cloudevents-batch+json")], b"[]", "found a batch"),
    ([], b"\xff\x00garbage", "missing"),
]


@pytest.mark.parametrize("to_topic", [True, False], ids=["topic", "index"])
def test_poison_is_set_aside(
    kafka: Broker,
    topic: str,
    consume: Callable[..., ConsumerProcess],
    index: Index,
    deployment: str,
    to_topic: bool,
) -> None:
    """Records that are no events go to the dead letters with the reason; those around them are stored."""
    kafka.make_topic(topic)
    letters = kafka.make_topic(f"{topic}-letters") if to_topic else ""
    bad = [(pairs, value) for pairs, value, _ in POISON]
    good = [message for number in range(10) for message in prediction(number, deployment)]
    messages = [message for number in range(30) for message in (good[number], *bad[number : number + 1])]
    produce(kafka.address, topic, messages)
    process = consume(KAFKA_DEAD_LETTER_TOPIC=letters)
    wait_for(lambda: is_read(kafka, topic, [len(messages)]))
    check_whole(index, deployment, 10)
    where = "topic" if to_topic else "index"
    assert process.metric("request_logger_kafka_poison_total", where=where) == len(POISON)
    if to_topic:
        found = list(read_all(kafka.address, letters, len(POISON)))
        reasons = [dict(message.headers())["dead-letter-reason"].decode() for message in found]
        values = [message.value() for message in found]
        offsets = [int(dict(message.headers())["dead-letter-offset"]) for message in found]
    else:
        sources = [source for source in index.documents(DEAD_LETTERS).values() if source["index"] == f"kafka:{topic}"]
        contents = sorted((json.loads(source["document"]) for source in sources), key=lambda each: each["offset"])
        reasons = [source["reason"] for source in sorted(sources, key=lambda each: int(each["id"].split("@")[1]))]
        values = [base64.b64decode(content["value_base64"]) for content in contents]
        offsets = [content["offset"] for content in contents]
    assert values == [value for _, value, _ in POISON]
    assert offsets == [2 * number + 1 for number in range(len(POISON))]
    for reason, (*_, expected) in zip(reasons, POISON, strict=True):
        assert expected in reason


def test_settings_of_the_server_hold_here_too(
    kafka: Broker, topic: str, consume: Callable[..., ConsumerProcess], index: Index, deployment: str
) -> None:
    """ALLOWED_NAMESPACES, REDACT, SAMPLE_RATE and READ_USER do what they do over HTTP."""
    kafka.make_topic(topic)
    messages = [message for number in range(40) for message in prediction(number, deployment)]
    foreign = (headers("request", "x", deployment, namespace="other"), b'{"data": {"ndarray": [[1]]}}')
    unknown = ([("type", b"com.example.unknown"), ("requestid", b"x")], b"{}")
    secret = ([("requestid", b"r"), ("A", b"a header's secret"), ("kept", b"as it is")], b"a secret")
    produce(kafka.address, topic, [*messages, foreign, unknown, secret])
    process = consume(
        ALLOWED_NAMESPACES="test*", REDACT="drop:a", SAMPLE_RATE="0.5", READ_USER="me", READ_PASSWORD="pw"
    )
    wait_for(lambda: is_read(kafka, topic, [len(messages) + 3]))
    documents = index.documents(index_of(deployment))
    assert 0 < len(documents) < 40
    for source in documents.values():
        assert {"request", "response", "feedback", "metrics"} <= set(source)
        assert source["request"]["elements"]["a"] is None
    assert index.count("inference-log-seldon-other-*") == 0
    (letter,) = [each for each in index.documents(DEAD_LETTERS).values() if each["index"] == f"kafka:{topic}"]
    assert "secret" not in json.dumps(letter)
    assert json.loads(letter["document"])["headers"] == [["requestid", "r"], ["kept", "as it is"]]
    assert base64.b64encode(b"a secret").decode() not in letter["document"]
    assert requests.get(f"{process.url}/metrics", timeout=10).status_code == 401
    answer = requests.get(f"{process.url}/metrics", auth=("me", "pw"), timeout=10).text
    for line in ('outcome="sampled"', 'outcome="ignored"', 'outcome="forbidden"'):
        assert line in answer


def test_a_letter_is_stored_when_what_was_in_its_way_is_gone(
    kafka: Broker, topic: str, consume: Callable[..., ConsumerProcess], engine: Any, index: Index, deployment: str
) -> None:
    """`dead-letters` lists and exports records too, and `retry` stores them as the consumer would have."""
    kafka.make_topic(topic)
    messages = [message for number in range(10) for message in prediction(number, deployment)]
    # Two documents of somebody else, where the response of p0 belongs and where it would be put beside that.
    request = next(pairs for pairs, _ in messages)
    owner = event_of(Record(topic, 0, 0, 1, None, tuple(request), b"{}"), Settings(), lambda event: event).owner
    in_the_way = ("p0", other_owner("p0", repr(owner)))
    for id in in_the_way:
        index.request("PUT", f"/{index_of(deployment)}/_doc/{quote(id, safe='')}", {"Ce-Namespace": "another"})
    produce(kafka.address, topic, [*messages, ([("requestid", b"r")], b"{}")])
    consume()
    wait_for(lambda: is_read(kafka, topic, [len(messages) + 1]))
    name = f"kafka:{topic}"

    def command(*arguments: str) -> tuple[int, str]:
        url = urlsplit(engine.url)
        env = {**os.environ, "ELASTICSEARCH_HOST": url.hostname or "", "ELASTICSEARCH_PORT": str(url.port)}
        python = [sys.executable, "-m", "request_logger.cli", "dead-letters", *arguments, "--index", name]
        done = subprocess.run(python, env=env, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout

    # What is no event is seen at once, what the engine refuses later.
    listed = sorted(line.split("  ")[1:] for line in command("list")[1].splitlines()[:-1])
    assert [line[:2] for line in listed] == [[name, f"{topic}[0]@{at}"] for at in (0, 1, 2, 30)]
    assert ["two deployments have the same ids" in line[2] for line in listed] == [True, True, True, False]
    exported = {letter["id"]: letter["document"] for letter in map(json.loads, command("export")[1].splitlines())}
    assert base64.b64decode(exported[f"{topic}[0]@0"]["value_base64"]) == messages[0][1]
    assert command("retry")[1].splitlines()[-1] == "0 stored, 4 left"
    for id in in_the_way:
        index.request("DELETE", f"/{index_of(deployment)}/_doc/{quote(id, safe='')}")
    assert command("retry", "--dry-run")[1].splitlines()[-1] == "3 would be stored, 1 left"
    status, text = command("retry")
    assert (status, text.splitlines()[-1]) == (1, "3 stored, 1 left")
    assert f"{topic}[0]@30  left: Ce-Type: missing" in text
    check_whole(index, deployment, 10)
    assert len(command("list")[1].splitlines()) == 2


def recorded() -> list[dict[str, Any]]:
    lines = (DATA / "wire" / "kafka.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def test_what_a_real_executor_wrote(
    kafka: Broker, topic: str, consume: Callable[..., ConsumerProcess], index: Index
) -> None:
    """The recorded records become the documents that the pure functions make of them."""
    index.drop("inference-log-*")
    kafka.make_topic(topic)
    records = recorded()
    produce(
        kafka.address,
        topic,
        [
            ([(name, value.encode()) for name, value in each["headers"]], base64.b64decode(each["body_base64"]))
            for each in records
        ],
    )
    consume()
    wait_for(lambda: is_read(kafka, topic, [len(records)]))
    expected = in_order(event_of(as_record(each), Settings(), lambda event: event) for each in records)
    found = index.documents("inference-log-*")
    assert without_clocks(without_times(found)) == without_clocks(expected)


def without_clocks(store: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """Take out the time of the record, which is another here than in the recording, and what depends on it."""
    for source in store.values():
        source.pop("@timestamp")
        source.get("metrics", {}).pop("delay_seconds", None)
        for part in source.values():
            if isinstance(part, dict):
                part.pop("ce-time", None)
    return store


def as_record(recorded: dict[str, Any]) -> Record:
    return Record(
        topic=recorded["topic"],
        partition=recorded["partition"],
        offset=recorded["offset"],
        timestamp=recorded["timestamp"],
        key=None,
        headers=tuple((name, value.encode()) for name, value in recorded["headers"]),
        value=base64.b64decode(recorded["body_base64"]),
    )


def test_cloudevents_binary_and_structured(
    kafka: Broker, topic: str, consume: Callable[..., ConsumerProcess], index: Index, deployment: str
) -> None:
    """Both modes of CloudEvents' Kafka binding give the documents that the executor's own headers give."""
    kafka.make_topic(topic)
    messages = []
    for number in range(20):
        for pairs, value in prediction(number, deployment):
            names = {name: text.decode() for name, text in pairs}
            attributes = {name: text for name, text in names.items() if name != "content-type"}
            if number % 2:
                binary = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
                extra = [("ce_id", b"1"), ("ce_time", b"2026-01-02T03:04:05Z"), ("type", b"somebody's own")]
                messages.append(([("content-type", b"application/json"), *binary, *extra], value))
            else:
                whole = {"specversion": "1.0", "id": "1", **attributes, "data": json.loads(value)}
                kind = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
                messages.append((kind, json.dumps(whole).encode()))
    random.Random(0).shuffle(messages)
    produce(kafka.address, topic, messages)
    consume()
    wait_for(lambda: is_read(kafka, topic, [len(messages)]))
    check_whole(index, deployment, 20)
    times = {source["@timestamp"] for source in index.documents(index_of(deployment)).values()}
    assert "2026-01-02T03:04:05Z" in times


def test_a_backlog_is_written_together(
    kafka: Broker, topic: str, consume: Callable[..., ConsumerProcess], index: Index, deployment: str
) -> None:
    """Request, response and feedback that are read together become one write of their document, mostly."""
    count = 600
    kafka.make_topic(topic)
    messages = shuffled((message for number in range(count) for message in prediction(number, deployment)), window=20)
    produce(kafka.address, topic, messages)
    process = consume()
    wait_for(lambda: is_read(kafka, topic, [len(messages)]))
    check_whole(index, deployment, count)
    assert process.metric("request_logger_bulk_changes_sum") < 1.5 * count
