"""Records of Seldon Core 2: names from the topic, ids, JSON and protobuf, frames of a schema registry, errors."""

from __future__ import annotations

import json
import re
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from request_logger.documents.event import BadEventError, Event, IgnoredEventError, from_headers, kept_body
from request_logger.documents.parts import parts_of
from request_logger.kafka.binding import event_of, forwarded
from request_logger.kafka.config import consumer_config, topics
from request_logger.kafka.core2 import resource_of, subscription
from request_logger.kafka.letter_content import origin_of
from request_logger.kafka.record import Record
from request_logger.payloads.protobuf_messages import message_class
from request_logger.settings import Settings, SettingsError
from tests.forward.receiver import receiving
from tests.helpers import Index, Sender, Server, event
from tests.kafka_broker import Broker, start_kafka
from tests.kafka_helpers import ConsumerProcess, wait_for
from tests.test_connect_pages import Reader

PREFIX = "seldon"
SETTINGS = Settings(seldon_kafka_prefix=PREFIX)
JSON_REQUEST = (("seldon-infer-type", b"json/inferModelRequest"), ("x-request-id", b"r1"))
PROTO_RESPONSE = (("seldon-infer-type", b"proto/InferModelResponse"), ("x-request-id", b"r1"))
REQUEST = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1.5, 2.5]}]}


def read(
    topic: str, value: bytes, headers: Any = JSON_REQUEST, key: bytes | None = None, settings: Settings = SETTINGS
) -> Event:
    record = Record(topic, 0, 1, 1_700_000_000_123, key, tuple(headers), value)
    return event_of(record, settings, lambda event: event)


def response(classes: list[float]) -> bytes:
    """A V2 response as protobuf."""
    message = message_class("ModelInferResponse")(model_name="m", model_version="3")
    tensor = message.outputs.add(name="y", datatype="FP64", shape=[1, len(classes)])
    tensor.contents.fp64_contents.extend(classes)
    return bytes(message.SerializeToString())


def content(event: Event) -> dict[str, Any]:
    (part,) = parts_of(event, None, 10)
    return part.content


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("seldon.prod.model.iris.inputs", ("prod", "iris", "model", "request")),
        ("seldon.prod.pipeline.iris.outputs", ("prod", "iris", "pipeline", "response")),
        # A name may contain dots, and words that have a meaning elsewhere.
        ("seldon.prod.model.a.b.outputs", ("prod", "a.b", "model", "response")),
        ("seldon.model.model.model.inputs.inputs", ("model", "model.inputs", "model", "request")),
    ],
)
def test_names_are_in_the_topic(topic: str, expected: tuple[str, str, str, str]) -> None:
    """Models and pipelines of one name are two deployments' endpoints, and have indices of their own."""
    namespace, name, kind, part = expected
    event = read(topic, json.dumps(REQUEST).encode())
    assert event.part == part
    assert event.owner == ("seldon", namespace, name, kind)
    assert event.index == f"inference-log-seldon-{namespace}-{name}-{kind}"
    assert (event.request_id, event.source, event.time) == ("r1", topic, "2023-11-14T22:13:20.123Z")
    assert re.search(subscription("seldon"), topic)


@pytest.mark.parametrize(
    "topic",
    [
        "seldon",
        "seldon.prod",
        "seldon.prod.model.iris",
        "seldon.prod.model..inputs",
        "seldon..model.iris.inputs",
        "seldon.prod.explainer.iris.inputs",
        "seldon.prod.model.iris.inputs.x",
        "seldon.prod.errors.outputs",
        "seldonx.prod.model.iris.inputs",
        "other.prod.model.iris.inputs",
    ],
)
def test_other_topics_are_not_of_core_2(topic: str) -> None:
    """Their records are read as before, and the expression doesn't subscribe to them."""
    assert resource_of(topic, PREFIX) is None
    assert topic == "seldon.prod.model..inputs" or not re.search(subscription(PREFIX), topic)
    executor = (("type", b"io.seldon.serving.feedback"), ("requestid", b"r9"))
    assert read(topic, b"{}", executor).part == "feedback"


@given(st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True), st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True))
def test_any_prefix(prefix: str, name: str) -> None:
    """Its dots are no wildcards, and it is never part of a name."""
    topic = f"{prefix}.ns.model.{name}.inputs"
    found = resource_of(topic, prefix)
    assert found is not None
    assert (found.namespace, found.kind, found.name) == ("ns", "model", name)
    assert re.search(subscription(prefix), topic)
    assert not re.search(subscription(prefix), f"{prefix}x{topic[len(prefix) :]}")


def test_off_by_default() -> None:
    assert resource_of("seldon.prod.model.iris.inputs", "") is None


@pytest.mark.parametrize(
    ("headers", "key", "expected"),
    [
        ((("x-request-id", b"r1"),), b"0.p.other", "r1"),
        ((("X-Request-Id", b"r1"),), None, "r1"),
        ((), b"0.m.r2", "r2"),
        ((("pipeline", b"p.q"),), b"0.p.q.r.2", "r.2"),
        ((), b"0.elsewhere.r2", "r2"),
        ((), b"r2", "r2"),
        # The first versions wrote no partition.
        ((), b"m.r.2", "r.2"),
        # A model server may add another one to its response: Core 2 appends it.
        ((("x-request-id", b"r1"), ("X-Request-Id", b"of-the-server")), None, "r1"),
    ],
)
def test_the_id(headers: Any, key: bytes | None, expected: str) -> None:
    """The header's, else the end of the key, which starts with a partition and a resource."""
    assert read("seldon.ns.model.m.inputs", b"{}", headers, key).request_id == expected


@pytest.mark.parametrize("key", [None, b"", b"0.m."])
def test_no_id(key: bytes | None) -> None:
    """It names the field; the record becomes a dead letter."""
    with pytest.raises(BadEventError, match=r"^x-request-id: missing"):
        read("seldon.ns.model.m.inputs", b"{}", (), key)


@pytest.mark.parametrize("frame", [b"", b"\0\0\0\0\7"], ids=["plain", "framed"])
def test_json(frame: bytes) -> None:
    """With and without the frame of a schema registry; without a header, by its first byte."""
    value = frame + json.dumps(REQUEST).encode()
    for headers in (JSON_REQUEST, JSON_REQUEST[1:]):
        found = content(read("seldon.ns.model.m.inputs", value, headers))
        assert (found["instance"], found["payload"]) == ([1.5, 2.5], REQUEST)


@pytest.mark.parametrize("indexes", [b"", b"\0", b"\2\0", b"\2\6", b"\4\2\0"])
def test_protobuf(indexes: bytes) -> None:
    """Without a frame, and framed with each form of the path to the message's type."""
    framed = b"\0\0\0\0\7" + indexes + response([0.25, 0.75])
    for value in (framed, *([] if indexes else [response([0.25, 0.75])])):
        for headers in (PROTO_RESPONSE, PROTO_RESPONSE[1:]):
            found = content(read("seldon.ns.model.m.outputs", value, headers))
            assert found["instance"] == [0.25, 0.75]
            assert (found["model_name"], found["model_version"]) == ("m", "3")


@pytest.mark.parametrize("length", [91, 123])
def test_protobuf_that_starts_like_json(length: int) -> None:
    """A line feed is the tag of the model's name, and a bracket may be its length."""
    message = message_class("ModelInferResponse")(model_name="m" * length)
    message.outputs.add(name="y", datatype="FP64", shape=[1, 1]).contents.fp64_contents.append(0.5)
    value = message.SerializeToString()
    assert value.lstrip()[:1] in b"[{"
    assert content(read("seldon.ns.model.m.outputs", value, JSON_REQUEST[1:]))["instance"] == [0.5]
    spaced = b"\n " + json.dumps(REQUEST).encode() + b"\n"
    assert content(read("seldon.ns.model.m.inputs", spaced, JSON_REQUEST[1:]))["instance"] == [1.5, 2.5]


@pytest.mark.parametrize("frame", [b"", b"\0\0\0\0\7\0"], ids=["plain", "framed"])
def test_raw_contents(frame: bytes) -> None:
    """The tensors' bytes beside them, as Triton and MLServer answer, also of text."""
    message = message_class("ModelInferResponse")(model_name="m")
    message.outputs.add(name="p", datatype="FP32", shape=[1, 2])
    message.outputs.add(name="label", datatype="BYTES", shape=[1, 1])
    message.raw_output_contents.extend([struct.pack("<2f", 0.25, 0.75), struct.pack("<I", 3) + b"cat"])
    value = frame + message.SerializeToString()
    for headers in (PROTO_RESPONSE, PROTO_RESPONSE[1:]):
        assert content(read("seldon.ns.model.m.outputs", value, headers))["instance"] == [[0.25, 0.75], "cat"]


def test_a_record_without_a_value() -> None:
    """It deletes its key from a compacted topic: it must not replace the response that has the id."""
    with pytest.raises(IgnoredEventError):
        event_of(Record("seldon.ns.model.m.outputs", 0, 1, None, b"0.m.r1", (), b"", True), SETTINGS, lambda each: each)


def test_headers_are_metadata() -> None:
    """Each x- header and the pipeline, to split by; the id is a field of its own, METADATA_FIELDS applies."""
    headers = (*JSON_REQUEST, ("X-Tenant", b"blue"), ("pipeline", b"p"), ("other", b"no"), ("x-none", None))
    topic = "seldon.ns.model.m.inputs"
    assert content(read(topic, b"{}", headers))["metadata"] == {"x-tenant": "blue", "pipeline": "p"}
    twice = (*headers, ("x-tenant", b"red"))
    assert content(read(topic, b"{}", twice))["metadata"] == {"x-tenant": ["blue", "red"], "pipeline": "p"}
    few = Settings(seldon_kafka_prefix=PREFIX, metadata_fields="pipe*")
    assert content(read(topic, b"{}", headers, settings=few))["metadata"] == {"pipeline": "p"}


def test_an_error_belongs_to_its_prediction() -> None:
    """It is the response of the pipeline, or of the model where there is none, with a status that counts as failed."""
    topic = "seldon.ns.errors.errors"
    assert re.search(subscription(PREFIX), topic)
    headers = (("seldon-pipeline-errors", b"iris"), ("x-request-id", b"r1"))
    event = read(topic, b"cannot reshape \xff", headers)
    assert (event.owner, event.part, event.request_id) == (("seldon", "ns", "iris", "model"), "response", "r1")
    found = content(event)
    assert found["ce-statuscode"] == 500
    assert found["payload"] == {"error": "cannot reshape \ufffd", "model": "iris"}
    in_pipeline = read(topic, b"no", (*headers, ("pipeline", b"p")))
    assert in_pipeline.owner == ("seldon", "ns", "p", "pipeline")
    # Core 2 names the model in `pipeline` where it was called without one.
    assert read(topic, b"no", (*headers, ("pipeline", b"iris"))).owner == ("seldon", "ns", "iris", "model")
    # The pipeline itself fails, which has no step of its own name.
    loop = read(topic, b"ERROR: Max step revisits", (*headers, ("pipeline", b"iris")))
    assert loop.owner == ("seldon", "ns", "iris", "pipeline")
    assert content(loop)["payload"] == {"error": "ERROR: Max step revisits"}
    with pytest.raises(BadEventError, match=r"^seldon-pipeline-errors: missing"):
        read(topic, b"no", headers[1:])


@given(st.binary(max_size=200), st.sampled_from(["", "json/inferModelRequest", "proto/InferModelRequest", "x"]))
def test_any_value_is_stored(value: bytes, infer_type: str) -> None:
    """What can't be decoded is kept with the reason."""
    headers = (("x-request-id", b"r1"), ("seldon-infer-type", infer_type.encode()))
    for part in parts_of(read("seldon.ns.model.m.inputs", value, headers), None, 1000):
        assert "payload" in part.content or "undecodable" in part.content or "instance" in part.content


def test_redaction_knows_no_deployment() -> None:
    """A dead letter's headers don't name it: the rules of all deployments apply."""
    record = Record("seldon.ns.model.m.inputs", 0, 1, None, None, JSON_REQUEST, b"{}")
    assert origin_of(record) == (None, None)


def test_settings() -> None:
    """KAFKA_TOPIC may be missing; partitions of equal numbers have one consumer, unless the operator chose."""
    settings = Settings(kafka_brokers="h:1", seldon_kafka_prefix="my.seldon")
    assert topics(settings) == [subscription("my.seldon")]
    assert consumer_config(settings)["partition.assignment.strategy"] == "range"
    both = Settings(
        kafka_brokers="h:1", kafka_topic="a", seldon_kafka_prefix="s", kafka_assignment="cooperative-sticky"
    )
    assert topics(both) == ["a", subscription("s")]
    assert consumer_config(both)["partition.assignment.strategy"] == "cooperative-sticky"
    with pytest.raises(SettingsError, match=r"^SELDON_KAFKA_PREFIX: expected letters"):
        consumer_config(Settings(kafka_brokers="h:1", seldon_kafka_prefix="^a*"))


@pytest.fixture(scope="module")
def kafka() -> Iterator[Broker]:
    with start_kafka() as broker:
        yield broker


@pytest.mark.engine
def test_models_and_pipelines_with_feedback(
    kafka: Broker, engine: Any, tmp_path: Path, index: Index, sender: Sender
) -> None:
    """JSON and protobuf from a real Kafka, feedback over HTTP before and after: all whole, scored, and forwarded."""
    prefix, deployment = f"c2-{uuid.uuid4().hex[:8]}", f"m{uuid.uuid4().hex[:8]}"
    count = 60
    for kind in ("model", "pipeline"):
        for direction in ("inputs", "outputs"):
            kafka.make_topic(f"{prefix}.test.{kind}.{deployment}.{direction}", 2)
    kafka.make_topic(f"{prefix}.test.errors.errors", 1)
    scores = {number: [0.9, 0.1] if number % 3 else [0.2, 0.8] for number in range(count)}
    truths = {number: number % 2 for number in range(count)}

    def send_feedback(numbers: range) -> None:
        for number in numbers:
            id = f"0.{deployment}.r{number}" if number % 4 else f"r{number}"  # The record's key, or its id.
            headers = event("feedback", id, deployment, Ce_Endpoint="model")
            body = json.dumps({"truth": {"data": {"ndarray": [truths[number]]}}}).encode()
            assert sender.send(headers, body)[0] == 200

    send_feedback(range(count // 2))
    producer = Producer({"bootstrap.servers": kafka.address})
    for number, row in scores.items():
        key = f"0.{deployment}.r{number}"
        for kind in ("model", "pipeline"):
            topic = f"{prefix}.test.{kind}.{deployment}"
            # Without the header, the id is in the key.
            headers = [
                ("seldon-infer-type", b"proto/InferModelResponse"),
                *([] if number % 2 else [("x-tenant", b"t")]),
            ]
            producer.produce(f"{topic}.outputs", b"\0\0\0\0\1\0" + response(row), key, headers=headers)
            producer.produce(f"{topic}.inputs", json.dumps(REQUEST).encode(), key, headers=[JSON_REQUEST[0]])
    failed = [("seldon-pipeline-errors", deployment.encode()), ("x-request-id", b"failed")]
    producer.produce(f"{prefix}.test.errors.errors", b"no such model", headers=failed)
    assert producer.flush(30) == 0
    with receiving() as receiver:
        env = {"KAFKA_TOPIC": "", "SELDON_KAFKA_PREFIX": prefix}
        env |= {"FORWARD_URL": receiver.url, "SPOOL_DIR": str(tmp_path / "spool")}
        consumer = ConsumerProcess(engine.url, tmp_path / "log", kafka.address, prefix, **env)
        try:
            consumer.wait("/readyz")
            wait_for(lambda: consumer.metric("request_logger_kafka_consumed_total") == 4 * count + 1)
            wait_for(lambda: consumer.metric("request_logger_kafka_in_flight") == 0)
            send_feedback(range(count // 2, count))
            wait_for(lambda: len({one.headers["ce-id"] for one in receiver.received}) == 4 * count + 1)
        finally:
            consumer.stop()
    models = index.documents(f"inference-log-seldon-test-{deployment}-model")
    pipelines = index.documents(f"inference-log-seldon-test-{deployment}-pipeline")
    assert sorted(id for _, id in pipelines) == sorted(f"r{number}" for number in range(count))
    failure = models.pop((f"inference-log-seldon-test-{deployment}-model", "failed"))
    assert failure["response"]["ce-statuscode"] == 500
    assert len(models) == count
    for source in models.values():
        assert {"request", "response", "feedback", "metrics"} <= set(source)
    correct = [source["metrics"]["correct"] for source in models.values()]
    predicted = [int(row[1] > row[0]) for row in scores.values()]
    assert sum(correct) / count == pytest.approx(accuracy_score(list(truths.values()), predicted), abs=1e-9)


@pytest.mark.engine
def test_the_page(kafka: Broker, engine: Any, tmp_path: Path, index: Index, server: Server) -> None:
    """The blocks of docs/connect-core2.md, about a prediction that came through Kafka."""
    page = Reader(server, index, tmp_path)
    name, prefix = page.name("iris"), f"c2.{uuid.uuid4().hex[:8]}"
    topic = f"{prefix}.demo.pipeline.{name}"
    producer = Producer({"bootstrap.servers": kafka.address})
    for direction, value in (("inputs", json.dumps(REQUEST).encode()), ("outputs", response([0.25, 0.75]))):
        kafka.make_topic(f"{topic}.{direction}")
        producer.produce(f"{topic}.{direction}", value, headers=[("x-request-id", b"order-4711")])
    assert producer.flush(30) == 0
    consumer = ConsumerProcess(
        engine.url, tmp_path / "log", kafka.address, prefix, KAFKA_TOPIC="", SELDON_KAFKA_PREFIX=prefix
    )
    try:
        consumer.wait("/readyz")
        wait_for(lambda: (f"inference-log-seldon-demo-{name}-pipeline", "order-4711") in documents(index, name))
        wait_for(lambda: len(documents(index, name)) == 1 and "response" in next(iter(documents(index, name).values())))
    finally:
        consumer.stop()
    feedback, reports = page.read("connect-core2", "iris")
    assert json.loads(feedback)["metrics"]["correct"] == 1
    assert reports.count("accuracy") >= 1
    assert "pipeline" in reports


def documents(index: Index, name: str) -> dict[tuple[str, str], Any]:
    return index.documents(f"inference-log-seldon-demo-{name}-*")


def sent_on(topic: str, value: bytes, headers: Any, key: bytes | None = None) -> Any:
    return forwarded(Record(topic, 3, 17, 1_700_000_000_123, key, tuple(headers), value), SETTINGS)


def test_what_is_forwarded_of_core_2() -> None:
    """An event in binary mode that any logger takes: it gives the same document as the record."""
    topic = "seldon.ns.model.m.inputs"
    headers = (*JSON_REQUEST, ("x-tenant", "größe".encode()))
    message = sent_on(topic, b"\0\0\0\0\7" + json.dumps(REQUEST).encode(), headers)
    assert message.body == json.dumps(REQUEST).encode()
    expected = {"ce-specversion": "1.0", "ce-id": f"{topic}[3]@17", "ce-source": topic, "ce-requestid": "r1"}
    assert expected.items() <= message.headers.items()
    body = kept_body(message.body, message.headers["content-type"], SETTINGS)
    event = from_headers(message.headers, body, SETTINGS)
    original = read(topic, b"\0\0\0\0\7" + json.dumps(REQUEST).encode(), headers)
    assert (event.index, event.part, event.request_id, event.time) == (
        "inference-log-seldon-ns-m-model",
        original.part,
        original.request_id,
        original.time,
    )
    assert content(event) == content(original)
    failed = (("seldon-pipeline-errors", b"iris"), ("x-request-id", b"r1"))
    assert sent_on("seldon.ns.errors.errors", b"no", failed).headers["ce-statuscode"] == "500"


def test_what_is_forwarded_of_other_records() -> None:
    """Binary mode in either spelling, structured mode as it is; no header can end another one."""
    executor = (("type", b"io.seldon.serving.feedback"), ("requestid", b"r\r\nx: 9"), ("a b", b"1"), ("none", None))
    message = sent_on("logs", b"{}", executor)
    assert message.headers == {
        "ce-specversion": "1.0",
        "ce-id": "logs[3]@17",
        "ce-source": "logs",
        "ce-time": "2023-11-14T22:13:20.123Z",
        "ce-type": "io.seldon.serving.feedback",
        "ce-requestid": "r x: 9",
    }
    binary = (("ce_type", b"t"), ("ce_id", b"\xff"), ("ce_time", b"then"), ("content-type", b"text/plain"))
    message = sent_on("logs", b"x", binary)
    assert message.headers["ce-id"].encode("latin-1") == b"\xff"
    assert (message.headers["ce-time"], message.headers["content-type"]) == ("then", "text/plain")
    structured = sent_on("logs", b'{"type":"t"}', (("Content-Type", b"application/cloudevents+json"), ("x", b"y")))
    assert structured.body == b'{"type":"t"}'
    assert structured.headers == {"content-type": "application/cloudevents+json"}
