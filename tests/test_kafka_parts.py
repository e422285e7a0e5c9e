"""The consumer's pure parts, without a Kafka: records, settings, what may be committed."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from request_logger.common.json import dumps, loads
from request_logger.documents.event import Event
from request_logger.ingest.redaction import Redactor
from request_logger.ingest.redaction_walk import Hasher
from request_logger.kafka.binding import event_of
from request_logger.kafka.config import consumer_config, parse, producer_config, topics
from request_logger.kafka.consumer import KafkaConsumer
from request_logger.kafka.dead_letters import PREFIX
from request_logger.kafka.letter_content import DeadLetterContent, NoRecordError, content, record_of, redacted
from request_logger.kafka.messages import keys_of
from request_logger.kafka.offsets import Offsets
from request_logger.kafka.pacing import Pacing
from request_logger.kafka.partition import DONE, NOT_SENT, Partition, PendingRecord
from request_logger.kafka.record import Record
from request_logger.kafka.telemetry import KafkaTelemetry
from request_logger.settings import Settings, SettingsError
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.future import Future
from tests.kafka_helpers import ConsumerProcess

MINIMAL = [("type", b"io.seldon.serving.inference.request"), ("requestid", b"r1")]


def record(
    *headers: tuple[str, bytes | None], value: bytes = b"{}", timestamp: int | None = 1_700_000_000_123
) -> Record:
    return Record("t", 3, 7, timestamp, None, tuple(headers), value)


def read(*headers: tuple[str, bytes | None], **fields: Any) -> Event:
    return event_of(record(*headers, **fields), Settings(max_payload_bytes=10), lambda event: event)


def test_time_of_the_record_stands_in() -> None:
    """An event without a time has its record's; one with a time keeps it; without either it is now."""
    assert read(*MINIMAL).time == "2023-11-14T22:13:20.123Z"
    assert read(*MINIMAL, ("time", b"2020-01-01T00:00:00Z")).time == "2020-01-01T00:00:00Z"
    assert read(*MINIMAL, timestamp=None).time is None
    structured = b'{"type": "io.seldon.serving.feedback", "id": "x", "data": {}}'
    event = read(("content-type", b"application/cloudevents+json"), value=structured)
    assert (event.part, event.time) == ("feedback", "2023-11-14T22:13:20.123Z")


def test_headers() -> None:
    """Case does not matter, text is UTF-8, a header without a value is none; with ce_type only ce_ headers count."""
    event = read(("Type", MINIMAL[0][1]), ("RequestId", "é".encode()), ("namespace", None), ("content-type", b""))
    assert event.request_id == "é"
    assert "Ce-Namespace" not in event.header
    assert event.body.content_type is None
    binary = [(f"ce_{name}", value) for name, value in MINIMAL]
    event = read(*binary, ("namespace", b"not the event's"), ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01".encode()))
    assert "Ce-Namespace" not in event.header
    assert event.trace_id == "a" * 32


RULES = """\
rules:
  - {namespace: prod, drop: [customer_id], hash: [email]}
  - {namespace: other, drop: [tenant]}
  - {deployment: "b*", drop: ["$.data.names"]}
"""


@pytest.fixture
def redactor(tmp_path: Path) -> Redactor:
    (tmp_path / "rules.yaml").write_text(RULES)
    return Redactor(str(tmp_path / "rules.yaml"), "a key of the tests, long enough")


def test_a_letter_keeps_no_header_that_redact_names(redactor: Redactor) -> None:
    """Names in any case, with ce_ or -; JSON within a value; only the deployment's own rules where that is known."""
    known = [("namespace", b"prod"), ("inferenceservicename", b"a")]
    pairs = [
        ("Customer-Id", b"S3CRET"),
        ("ce_customer_id", b"S3CRET"),
        ("email", "é@x.org".encode()),
        ("baggage", b'{"customer_id": "S3CRET", "n": 1}'),
        ("tenant", b"t"),
        ("binary", b"\xff\x00"),
        ("empty", None),
    ]
    found = redacted(record(*known, *pairs, value=b"S3CRET"), redactor)
    headers = dict(found.headers)
    assert (found.value, found.key) == (None, None)
    assert list(headers) == ["namespace", "inferenceservicename", "email", "baggage", "tenant", "binary", "empty"]
    assert headers["email"] == Hasher(b"a key of the tests, long enough")("é@x.org").encode()
    assert headers["baggage"] == b'{"n": 1}'
    assert (headers["tenant"], headers["binary"], headers["empty"]) == (b"t", b"\xff\x00", None)


@pytest.mark.parametrize(
    "more",
    [
        [],
        [("namespace", b"prod")],
        [
            ("namespace", b"quiet"),
            ("inferenceservicename", b"a"),
            ("content-type", b"application/cloudevents+json; charset=utf-8"),
        ],
    ],
    ids=["nothing said", "half of it", "only the value says it"],
)
def test_of_a_letter_that_may_be_anybodys_all_rules_hold(redactor: Redactor, more: list[tuple[str, bytes]]) -> None:
    """Where the headers don't tell whose it is, no rule is left out."""
    found = redacted(record(*more, ("customer_id", b"S3CRET"), value=b"S3CRET"), redactor)
    assert found.value is None
    assert "customer_id" not in dict(found.headers)


def test_of_a_deployment_without_rules_all_is_kept(redactor: Redactor) -> None:
    """Nothing is left out of a record that no rule is for."""
    whole = record(("namespace", b"quiet"), ("modelid", b"a"), ("customer_id", b"c"), value=b"v")
    assert redacted(whole, redactor) == DeadLetterContent(whole.headers, b"v", None)


@given(
    st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=20)), max_size=4),
    st.binary(max_size=50),
    st.none() | st.binary(max_size=5),
    st.none() | st.integers(0, 2**50),
)
def test_a_letter_gives_its_record_back(
    headers: list[tuple[str, bytes | None]], value: bytes, key: bytes | None, timestamp: int | None
) -> None:
    """Whatever the record, the letter's JSON has all of it."""
    whole = Record("t", 1, 5, timestamp, key, tuple(headers), value)
    assert record_of(loads(dumps(content(whole, Redactor())))) == whole


@pytest.mark.parametrize(
    ("letter", "expected"),
    [
        (None, "there is no record in it"),
        ([], "there is no record in it"),
        ({"topic": "t", "headers": []}, "its value was not kept, since REDACT has rules for it"),
        ({"value_base64": "AA==", "topic": "t"}, "there is no whole record in it (KeyError('partition'))"),
        ({**content(record(), Redactor()), "value_base64": "é"}, "there is no whole record in it (ValueError"),
        ({**content(record(), Redactor()), "headers": [1]}, "there is no whole record in it (TypeError"),
    ],
)
def test_a_letter_without_its_record_says_so(letter: Any, expected: str) -> None:
    """What lacks something, or is not what it should be, is one line."""
    with pytest.raises(NoRecordError) as caught:
        record_of(letter)
    assert str(caught.value).startswith(expected)


def test_a_letter_in_a_topic_is_the_record_again() -> None:
    """What a letter's headers have beside the record's own changes nothing for a consumer of that topic."""
    about = [(f"{PREFIX}{name}", b"x") for name in ("reason", "topic", "partition", "offset")]
    binary = [(f"ce_{name}", value) for name, value in MINIMAL]
    assert read(*MINIMAL, *about) == read(*MINIMAL)
    assert read(*binary, *about) == read(*binary)


def test_large_body_is_dropped() -> None:
    """A body over MAX_PAYLOAD_BYTES is its size and hash."""
    body = read(*MINIMAL, value=b"x" * 11).body
    assert (body.raw, body.size, len(body.sha256)) == (None, 11, 64)
    assert read(*MINIMAL, value=b"x" * 10).body.raw == b"x" * 10


@given(
    st.lists(st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=40)), max_size=6), st.binary(max_size=100)
)
def test_garbage_is_a_bad_event_and_nothing_else(headers: Any, value: bytes) -> None:
    """Whatever a record has in it, it becomes an event or is said to be none."""
    try:
        read(*headers, value=value)
    except ValueError:
        return


@given(st.integers(1, 40), st.randoms(use_true_random=False))
def test_position_never_passes_what_is_not_stored(count: int, chance: random.Random) -> None:
    """In whatever order records are done: the position is the first that isn't, and in the end behind the last."""
    partition = Partition("t", 0)
    futures = [DONE if chance.random() < 0.2 else Future() for _ in range(count)]
    for number, future in enumerate(futures):
        kept = Record("t", 0, 100 + 2 * number, None, None, (), b"")
        partition.add(PendingRecord(kept, lambda: DONE, weight=5, future=future))
    open_ones = [future for future in futures if future is not DONE]
    chance.shuffle(open_ones)
    while True:
        while partition.finished():
            pass
        undone = [number for number, future in enumerate(futures) if not future.done()]
        if not undone:
            break
        expected = 100 + 2 * undone[0]
        assert partition.position is None or 100 <= partition.position <= expected
        assert len(partition) == count - undone[0]
        open_ones.pop().set_result(None)
    assert partition.position == 100 + 2 * (count - 1) + 1
    assert (len(partition), partition.bytes, partition.to_commit) == (0, 0, partition.position)
    partition.requested = partition.position
    assert partition.to_commit is None


def test_failed_work_stays_until_it_is_sent_again() -> None:
    """A record that the store can't take holds up the position, also where the store says so at once."""
    answers: list[Any] = [StoreUnavailableError("down"), DONE]

    def send() -> Future[Any]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    partition = Partition("t", 0)
    work = PendingRecord(record(*MINIMAL), send)
    work.start()
    partition.add(work)
    assert partition.finished() is None
    assert (partition.position, partition.failed()) == (None, [work])
    work.start()
    assert partition.finished() is work
    assert partition.position == 8


def test_what_was_not_submitted_is_forgotten() -> None:
    """A partition that goes to another member: what is in the store is waited for, the rest is read again."""
    partition = Partition("t", 0)
    futures = [DONE, Future(), NOT_SENT, Future(), NOT_SENT]
    for number, future in enumerate(futures):
        partition.add(PendingRecord(Record("t", 0, number, None, None, (), b""), lambda: DONE, weight=5, future=future))
    partition.forget_unsent()
    assert (len(partition), partition.bytes) == (2, 10)
    futures[1].set_result(None)
    while partition.finished():
        pass
    assert (len(partition), partition.bytes, partition.position) == (0, 0, 2)


def test_config() -> None:
    """Lines and JSON say the same; ours come first or last as they must; a secret is in no repr."""
    lines = "# TLS\nsecurity.protocol = SASL_SSL\n\nsasl.password=a=b \nauto.offset.reset=latest"
    as_json = '{"security.protocol": "SASL_SSL", "sasl.password": "a=b", "auto.offset.reset": "latest"}'
    assert parse(lines) == parse(as_json)
    assert parse('{"a": true, "b": 5}') == {"a": "true", "b": "5"}
    settings = Settings(kafka_brokers="h:1", kafka_topic="a, ^b.*,", kafka_config=lines)
    assert topics(settings) == ["a", "^b.*"]
    config = consumer_config(settings)
    assert config["sasl.password"] == "a=b"
    assert config["auto.offset.reset"] == "latest"
    assert config["partition.assignment.strategy"] == "cooperative-sticky"
    ranged = Settings(kafka_brokers="h:1", kafka_topic="a", kafka_assignment="range")
    assert consumer_config(ranged)["partition.assignment.strategy"] == "range"
    assert config["enable.auto.commit"] == "false"
    assert "a=b" not in repr(settings)
    made = producer_config(settings)
    assert made["sasl.password"] == "a=b"
    assert not [name for name in made if name.startswith(("group.", "auto.offset", "partition."))]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "KAFKA_BROKERS: missing"),
        ({"kafka_brokers": "h:1"}, "KAFKA_TOPIC: missing"),
        ({"kafka_topic": ","}, "KAFKA_TOPIC: missing"),
        ({"kafka_config": "sasl.password"}, "KAFKA_CONFIG: expected name=value in line 1"),
        ({"kafka_config": "{"}, "KAFKA_CONFIG: expected a JSON object or lines"),
        ({"kafka_config": "group.id=x"}, "set KAFKA_GROUP_ID instead"),
        ({"kafka_brokers": "h", "kafka_topic": "a,b", "kafka_dead_letter_topic": "b"}, "expected a topic other than"),
    ],
)
def test_wrong_config(given: dict[str, str], expected: str) -> None:
    """Each problem names its setting."""
    with pytest.raises(SettingsError, match=expected):
        consumer_config(Settings(**given))


@pytest.mark.engine
def test_wrong_settings_are_one_line_each(engine: Any, tmp_path: Path) -> None:
    """What is missing, and a name that librdkafka does not know, are said without a traceback."""
    for env, expected in (
        ({}, ["KAFKA_BROKERS: missing", "KAFKA_TOPIC: missing"]),
        ({"KAFKA_BROKERS": "h:1", "KAFKA_TOPIC": "t", "KAFKA_CONFIG": "sasl.pasword=x"}, ["KAFKA_CONFIG", "pasword"]),
        ({"KAFKA_BROKERS": "h:1", "KAFKA_TOPIC": "t", "KAFKA_CONFIG": "enable.auto.commit=true"}, ["KAFKA_CONFIG"]),
    ):
        given = {"KAFKA_BROKERS": "", "KAFKA_TOPIC": "", "KAFKA_CONFIG": "", **env}
        log = tmp_path / "log"
        process = ConsumerProcess(engine.url, log, given.pop("KAFKA_BROKERS"), given.pop("KAFKA_TOPIC"), **given)
        assert process.process.wait(20) == 2
        text = log.read_text()
        log.unlink()
        assert "Traceback" not in text
        assert all(line.startswith("request-logger: ") for line in text.splitlines())
        assert [each for each in expected if each not in text] == []


class _Client:
    """Keeps what is paused: librdkafka keeps it for a partition that goes to another member, and comes back."""

    def __init__(self) -> None:
        self.paused: set[tuple[str, int]] = set()

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= set(keys_of(partitions))

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= set(keys_of(partitions))

    def commit(self, **_: Any) -> list[TopicPartition]:
        return []


@pytest.mark.parametrize("names", ["_paused", "_ahead"])
@pytest.mark.parametrize("goes", ["_revoked", "_lost"])
def test_a_paused_partition_that_goes_is_not_paused_when_it_comes_back(names: str, goes: str) -> None:
    client: Any = _Client()
    consumer = KafkaConsumer.__new__(KafkaConsumer)
    vars(consumer).update(
        _consumer=client, _partitions={}, _paused=set(), _ahead=set(), _new=[], _retry_at=None,
        _settings=Settings(), _writer=SimpleNamespace(down_for=0.0), _dead_letters=SimpleNamespace(flush=lambda: None),
        _telemetry=KafkaTelemetry(CollectorRegistry()), _pacing=Pacing(lambda *key: "group", 100, 10_000),
    )  # fmt: skip
    consumer._offsets = Offsets(consumer._partitions, consumer._telemetry)
    partitions = [TopicPartition("t", number) for number in range(3)]
    consumer._assigned(client, partitions)
    client.pause(partitions[:2])
    setattr(consumer, names, set(keys_of(partitions[:2])))
    getattr(consumer, goes)(client, partitions[1:])
    consumer._assigned(client, partitions[1:])
    assert client.paused == getattr(consumer, names) == {("t", 0)}
