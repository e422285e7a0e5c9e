"""What a server forwards: requests as they came, whatever brings them; none that was not stored; also after kill -9.

No engine is needed: events are acknowledged from disk. `tests/contract` has a logger that forwards to another one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from request_logger.forward import FORWARDED
from tests.forward.receiver import Received, Receiver, answer, receiving
from tests.helpers import Sender, Server, event, free_port, ndarray
from tests.kafka_helpers import wait_for

TOKEN = "second-sink"
# Nothing listens there.
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spool")


@pytest.fixture(scope="module")
def logger(receiver: Receiver, spool: Path) -> Iterator[Server]:
    """A server that forwards, redacts, and limits bodies."""
    server = Server(
        NOWHERE,
        spool / "log",
        SPOOL_DIR=str(spool / "events"),
        QUEUE="always",
        FORWARD_URL=f"{receiver.url}/second",
        FORWARD_HEADERS=f"Authorization: Bearer {TOKEN}",
        INGEST_TOKEN="first",
        REDACT="drop:name",
        MAX_PAYLOAD_BYTES="1000",
        GUNICORN_WORKERS="1",
    )
    yield server.wait()
    server.stop()


class Ways:
    """Sends to a logger, and waits for what its receiver gets."""

    def __init__(self, logger: Server, receiver: Receiver) -> None:
        self.sender = Sender(logger.url)
        self.receiver = receiver
        receiver.received.clear()

    def send(self, headers: dict[str, str], body: bytes, **options: Any) -> tuple[int, bytes]:
        return self.sender.send({"Authorization": "Bearer first", **headers}, body, **options)

    def received(self, count: int) -> list[Received]:
        """Return what arrived, after one more event that shows that nothing else is under way."""
        mark = b'{"data":{"ndarray":[[%d]]}}' % id(self)
        assert self.send(event("request", "mark", "marks"), mark)[0] == 200
        wait_for(lambda: mark in self.receiver.bodies)
        wait_for(lambda: len(self.receiver.received) > count)
        return [one for one in self.receiver.received if one.body != mark]


@pytest.fixture
def ways(logger: Server, receiver: Receiver) -> Iterator[Ways]:
    found = Ways(logger, receiver)
    yield found
    found.sender.close()


def test_binary(ways: Ways, deployment: str, spool: Path) -> None:
    """Its own bytes and attributes, before redaction; credentials of the second sink instead of the sender's."""
    headers = event("request", "r1", deployment, traceparent=f"00-{'a' * 32}-{'b' * 16}-01", X_Other="1")
    body = ndarray([[1, "Ada"]], ["age", "name"])
    assert ways.send(headers, body)[0] == 200
    assert ways.send(headers, body, chunked=True)[0] == 200
    long = ndarray([list(range(1000))])
    assert ways.send(event("request", "r2", deployment), long, chunked=True)[0] == 200
    assert ways.send(event("request", "r3", deployment), long)[0] == 200
    found = ways.received(4)
    assert sorted(one.body for one in found) == sorted([body, body, long, long])
    (first, _) = [one for one in found if one.body == body]
    expected = {name.lower(): value for name, value in headers.items() if name.startswith(("Ce-", "Content", "trace"))}
    own = {
        name: value for name, value in first.headers.items() if name.startswith(("ce-", "content-type", "trace", "x-"))
    }
    assert own == {**expected, FORWARDED: "1"}
    assert first.headers["authorization"] == f"Bearer {TOKEN}"
    stored = b"".join(path.read_bytes() for path in (spool / "events").glob("spool.db*"))
    assert deployment.encode() in stored
    assert b"Ada" not in stored


def test_structured(ways: Ways, deployment: str) -> None:
    body = json.dumps(structured("request", "r1", deployment)).encode()
    assert ways.send({"Content-Type": "application/cloudevents+json; charset=utf-8"}, body)[0] == 200
    (found,) = ways.received(1)
    assert (found.body, found.headers["content-type"]) == (body, "application/cloudevents+json; charset=utf-8")


def structured(part: str, request_id: str, deployment: str, data: Any = None) -> dict[str, Any]:
    attributes = {
        name[3:].lower(): value for name, value in event(part, request_id, deployment).items() if name.startswith("Ce-")
    }
    return {**attributes, "datacontenttype": "application/json", "data": data or {"data": {"ndarray": [[1]]}}}


def test_batches(ways: Ways, deployment: str) -> None:
    """A batch of which all was stored goes on byte by byte; of another one the events that were stored."""
    kind = {"Content-Type": "application/cloudevents-batch+json"}
    whole = json.dumps([structured("request", f"r{number}", deployment) for number in range(5)], indent=1).encode()
    assert ways.send(kind, whole) == (200, b"")
    # Large data is not parsed with its event.
    large = structured("request", "large", deployment, {"data": {"ndarray": [["x" * 20_000]]}})
    ignored = {**structured("request", "other", deployment), "type": "of.no.kind"}
    small = structured("response", "r1", deployment)
    assert ways.send(kind, json.dumps([ignored, small, {"type": "x"}, 7, large]).encode())[0] == 207
    found = {one.body: one for one in ways.received(2)}
    assert whole in found
    (other,) = [one for one in found.values() if one.body != whole]
    assert json.loads(other.body) == [small, large]
    assert other.headers["content-type"] == kind["Content-Type"]


def test_records_of_the_marshaller(ways: Ways, logger: Server, deployment: str) -> None:
    """Each entry that was stored becomes an event in binary mode, with its body before redaction; others don't."""
    body = ndarray([[1, "Ada"]], ["age", "name"])
    entry = {
        "id": "m1",
        "reqType": "org.kubeflow.serving.inference.request",
        "bytes": base64.b64encode(body).decode(),
        "contentType": "application/json",
        "inferenceService": deployment,
        "namespace": "test",
        "endpoint": "default",
        "component": "predictor",
        "sourceUri": {"Scheme": "http", "Host": "localhost:9081", "Path": "/"},
        "metadata": {"X-Tenant": ["acme"]},
        "occurrenceTime": "2026-02-03T04:05:06Z",
    }
    bad = {**entry, "id": "m2", "bytes": "?"}
    call = requests.post(
        f"{logger.url}/v1/marshal", json=[entry, bad], headers={"Authorization": "Bearer first"}, timeout=30
    )
    assert (call.status_code, call.headers["X-Log-Marshal-Left-Out"]) == (200, "1")
    (found,) = ways.received(1)
    assert found.body == body
    expected = {
        "ce-id": "m1",
        "ce-type": entry["reqType"],
        "ce-inferenceservicename": deployment,
        "ce-namespace": "test",
        "ce-endpoint": "default",
        "ce-component": "predictor",
        "ce-source": "http://localhost:9081/",
        "ce-time": entry["occurrenceTime"],
        "content-type": "application/json",
    }
    assert {name: found.headers.get(name) for name in expected} == expected
    assert json.loads(found.headers["ce-metadata"]) == entry["metadata"]


def test_feedback_without_a_cloudevent(ways: Ways, deployment: str) -> None:
    """One, and many at once: each becomes an event in binary mode, which a logger takes."""
    common = {"deployment": deployment, "namespace": "test", "predictor": "default"}
    one = {**common, "request_id": "r1", "truth": 1}
    many = [
        {**common, "request_id": f"m{number}", "reward": number, "engine": "inferenceservice"} for number in range(3)
    ]
    headers = {"Content-Type": "application/json"}
    assert ways.send(headers, json.dumps(one).encode(), path="/v1/feedback")[0] == 200
    assert ways.send(headers, json.dumps([*many, {"request_id": "bad"}]).encode(), path="/v1/feedback")[0] == 207
    found = {one.headers["ce-requestid"]: one for one in ways.received(4)}
    assert set(found) == {"r1", "m0", "m1", "m2"}
    assert found["r1"].headers["ce-type"] == "io.seldon.serving.feedback"
    assert found["m2"].headers["ce-type"] == "org.kubeflow.serving.feedback"
    assert json.loads(found["r1"].body) == {"truth": {"data": {"ndarray": [1]}}}
    assert found["r1"].headers["ce-inferenceservicename"] == deployment


def test_what_is_not_forwarded(ways: Ways, deployment: str) -> None:
    """What isn't stored, and what a logger has forwarded."""
    body = ndarray([[1]])
    assert ways.send(event("request", "r1", deployment, **{FORWARDED: "1"}), body)[0] == 200
    assert ways.send(event("request", "r1", deployment, Ce_Type="of.no.kind"), body)[0] == 200
    assert ways.send(event("request", "r1", deployment, Ce_Type=""), body)[0] == 400
    assert ways.sender.send(event("request", "r1", deployment), body)[0] == 401
    assert ways.send({"Content-Type": "application/cloudevents-batch+json"}, b"[]") == (200, b"")
    assert ways.received(0) == []


def test_killed_while_the_receiver_is_down(deployment: str, tmp_path: Path) -> None:
    """All answers are 200; after kill -9 and a restart, what was in the spool arrives, from all workers."""
    port = free_port()
    env = {
        "FORWARD_URL": f"http://127.0.0.1:{port}",
        "SPOOL_DIR": str(tmp_path / "events"),
        "STORE_TIMEOUT_SECONDS": "0.2",
    }
    first = Server(NOWHERE, tmp_path / "first.log", **env).wait("/healthz")
    sent = [ndarray([[number]]) for number in range(60)]
    try:
        for number, body in enumerate(sent):
            sender = Sender(first.url)
            assert sender.send(event("request", f"r{number}", deployment), body)[0] == 200
            sender.close()
        wait_for(lambda: waiting(first) == len(sent))
    finally:
        first.kill()
        first.stop()
    with receiving(port) as receiver:
        receiver.behaviour = answer(202)
        second = Server(NOWHERE, tmp_path / "second.log", **env).wait("/healthz")
        try:
            wait_for(lambda: set(receiver.bodies) == set(sent))
            wait_for(lambda: waiting(second) == 0)
        finally:
            second.stop()


def waiting(server: Server) -> float:
    """How many requests wait on disk or in memory, after all workers have had time to say so."""
    text = requests.get(f"{server.url}/metrics", timeout=10).text
    return sum(
        float(line.split()[-1])
        for line in text.splitlines()
        if line.startswith("request_logger_forward_waiting_requests")
    )
