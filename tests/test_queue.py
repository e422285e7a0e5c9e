"""QUEUE=always: every event is acknowledged from disk, and written to the engine in few, large requests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.test_http import counted
from tests.test_spool import wait_until

NOWHERE = "http://127.0.0.1:9"
BATCHED = {"Content-Type": "application/cloudevents-batch+json"}
TRUTH = json.dumps({"reward": 1, "truth": {"data": {"ndarray": [1]}}}).encode()
SCORES = ndarray([[0.1, 0.9]])

Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers with a queue, all with the same folder."""
    servers: list[Server] = []

    def begin(engine_url: str = NOWHERE, **env: str) -> Server:
        given = {"QUEUE": "always", "SPOOL_DIR": str(tmp_path / "queue"), **env}
        if engine_url == NOWHERE:
            # A stop waits for events that wait for the engine.
            given.setdefault("STORE_TIMEOUT_SECONDS", "1")
        servers.append(Server(engine_url, tmp_path / f"{len(servers)}.log", **given))
        return servers[-1].wait()

    yield begin
    for server in servers:
        server.stop()


def waiting(server: Server) -> float:
    return counted(server, "request_logger_spool_events")


def send(server: Server, part: str, request_id: str, deployment: str, body: bytes) -> tuple[int, bytes]:
    sender = Sender(server.url)
    try:
        return sender.send(event(part, request_id, deployment), body)
    finally:
        sender.close()


def structured(part: str, request_id: str, deployment: str, data: bytes) -> dict[str, Any]:
    """An event as an element of a batch."""
    headers = event(part, request_id, deployment)
    attributes = {name[3:].lower(): value for name, value in headers.items() if name.startswith("Ce-")}
    return {**attributes, "datacontenttype": "application/json", "data": json.loads(data)}


def test_events_are_acknowledged_without_an_engine(start: Start, deployment: str) -> None:
    """From the first one on; the server is ready, and its metrics show the queue."""
    server = start()
    for number in range(5):
        assert send(server, "request", str(number), deployment, ndarray([[1, 2]])) == (200, b"")
    batch = [structured("response", str(number), deployment, SCORES) for number in range(5)]
    assert requests.post(server.url, json.dumps(batch), headers=BATCHED, timeout=30).status_code == 200
    assert counted(server, "request_logger_events_total", outcome="spooled") == 10
    assert counted(server, "request_logger_events_total", outcome="stored") == 0
    wait_until(lambda: waiting(server) == 10)
    wait_until(lambda: counted(server, "request_logger_spool_oldest_seconds") > 1)
    assert requests.get(f"{server.url}/readyz", timeout=10).status_code == 200


def test_feedback_is_answered_without_its_metrics(start: Start, deployment: str) -> None:
    """They aren't known yet, whatever REPLY_EVENTS says."""
    server = start(REPLY_EVENTS="true")
    assert send(server, "feedback", "f", deployment, TRUTH) == (200, b"")
    body = {"request_id": "g", "deployment": deployment, "namespace": "test", "truth": 1}
    answer = requests.post(f"{server.url}/v1/feedback", json=body, timeout=30)
    assert (answer.status_code, answer.json()) == (200, {"metrics": {}})


def test_what_can_never_be_stored_is_answered_413(start: Start, deployment: str) -> None:
    """More rows than fit into memory, also where gzip hides them, or more bytes than the queue may hold."""
    server = start(MEMORY_BUDGET_BYTES=str(2**20), SPOOL_MAX_BYTES="20000")
    rows = b'{"data":{"ndarray":[' + b",".join([b"[1]"] * 2000) + b"]}}"
    status, answer = send(server, "request", "rows", deployment, rows)
    assert (status, json.loads(answer)["error"]) == (413, "body: has more rows than fit into MEMORY_BUDGET_BYTES")
    status, answer = send(server, "request", "gzip", deployment, gzip.compress(rows))
    assert (status, json.loads(answer)["error"]) == (413, "body: has more rows than fit into MEMORY_BUDGET_BYTES")
    text = json.dumps({"strData": "x" * 21_000}).encode()
    status, answer = send(server, "request", "long", deployment, text)
    assert (status, json.loads(answer)["error"]) == (413, "body: the event is larger than SPOOL_MAX_BYTES allows")
    assert send(server, "request", "small", deployment, ndarray([[1]])) == (200, b"")


def test_a_full_queue_is_answered_503(start: Start, deployment: str) -> None:
    """With Retry-After, and the pod isn't ready; what is in the queue stays there."""
    server = start(SPOOL_MAX_BYTES="20000")
    body = json.dumps({"strData": "x" * 1000}).encode()
    statuses = [200]
    while statuses[-1] == 200 and len(statuses) < 100:
        statuses.append(send(server, "request", str(len(statuses)), deployment, body)[0])
    assert statuses[-1] == 503
    answer = requests.post(server.url, body, headers=event("request", "late", deployment), timeout=30)
    assert (answer.status_code, answer.json()) == (503, {"error": "the spool is full"})
    assert int(answer.headers["Retry-After"]) > 0
    # Each worker notices it on its own.
    wait_until(lambda: "the spool is full" in requests.get(f"{server.url}/readyz", timeout=10).text)
    assert requests.get(f"{server.url}/healthz", timeout=10).status_code == 200


@pytest.mark.engine
def test_a_prediction_is_one_write(engine: Any, index: Index, start: Start, deployment: str) -> None:
    """Request, response and feedback of one commit are in one batch: the document is written once, with its metrics."""
    # Events whose index is created too late are retried, not all of them at the same time.
    server = start(engine.url, STORE_TIMEOUT_SECONDS="30")
    batch = [
        structured(part, f"p{number}", deployment, body)
        for number in range(30)
        for part, body in (("request", ndarray([[1, 2]])), ("response", SCORES), ("feedback", TRUTH))
    ]
    assert requests.post(server.url, json.dumps(batch), headers=BATCHED, timeout=60).status_code == 200
    wait_until(lambda: waiting(server) == 0)
    documents = index.documents(index_of(deployment))
    assert len(documents) == 30
    for source in documents.values():
        assert {"request", "response", "feedback"} <= source.keys()
        assert source["metrics"]["correct"] == 1
    versions = requests.post(f"{engine.url}/{index_of(deployment)}/_search?version=true&size=100", timeout=30).json()[
        "hits"
    ]["hits"]
    assert [hit["_version"] for hit in versions] == [1] * 30
    assert counted(server, "request_logger_spool_replayed_total") == 90


@pytest.mark.engine
def test_a_stop_empties_the_queue(engine: Any, index: Index, start: Start, deployment: str) -> None:
    """Whatever the delay: events that were just acknowledged are in the engine when the server has ended."""
    server = start(engine.url, QUEUE_DELAY_SECONDS="60")
    for number in range(20):
        assert send(server, "request", str(number), deployment, ndarray([[1]]))[0] == 200
    server.stop()
    assert len(index.documents(index_of(deployment))) == 20


@pytest.mark.engine
def test_a_killed_server_loses_nothing(engine: Any, index: Index, start: Start, deployment: str) -> None:
    """Killed (-9) with all events on disk only: the next start stores them, with their metrics."""
    server = start()
    parts = (("response", SCORES), ("feedback", TRUTH), ("request", ndarray([[1, 2]])))
    for part, body in parts:
        for number in range(10):
            assert send(server, part, str(number), deployment, body)[0] == 200
    server.kill()
    server = start(engine.url)
    wait_until(lambda: waiting(server) == 0)
    documents = index.documents(index_of(deployment))
    assert len(documents) == 10
    assert all(source["metrics"]["correct"] == 1 for source in documents.values())
    assert counted(server, "request_logger_unscored_total") == 0


@pytest.mark.engine
def test_unscored_feedback_is_counted(engine: Any, start: Start, deployment: str) -> None:
    """Also where nobody waits for it."""
    server = start(engine.url, SCORER="binary")
    batch = [structured("response", "u", deployment, ndarray([["what"]]))]
    batch.append(structured("feedback", "u", deployment, TRUTH))
    assert requests.post(server.url, json.dumps(batch), headers=BATCHED, timeout=60).status_code == 200
    wait_until(lambda: waiting(server) == 0)
    wait_until(lambda: counted(server, "request_logger_unscored_total") == 1)
