"""What breaks: the engine dies while events arrive; every acknowledged event is there afterwards, once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import Index, Sender, Server, event, index_of, ndarray

pytestmark = pytest.mark.engine

SENDERS = 8


class Load:
    """Senders that send predictions (request, response, feedback) and remember what was acknowledged."""

    def __init__(self, url: str, deployment: str) -> None:
        self.acknowledged: set[tuple[str, str]] = set()
        self.refused = 0
        self._url = url
        self._deployment = deployment
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(SENDERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _run(self, number: int) -> None:
        sender = Sender(self._url)
        bodies = {
            "request": ndarray([[1, 2]]),
            "response": ndarray([[0.2, 0.8]]),
            "feedback": json.dumps({"reward": 1, "truth": {"data": {"ndarray": [1]}}}).encode(),
        }
        count = 0
        while not self._stop.is_set():
            request_id = f"s{number}-{count}"
            count += 1
            for part, body in bodies.items():
                try:
                    status, _ = sender.send(event(part, request_id, self._deployment), body)
                except OSError:
                    status = 0
                if status == 200:
                    self.acknowledged.add((request_id, part))
                else:
                    self.refused += 1
            time.sleep(0.01)
        sender.close()


def missing(load: Load, index: Index, deployment: str) -> list[tuple[str, str]]:
    stored = {(id, part) for (_, id), source in index.documents(index_of(deployment)).items() for part in source}
    return sorted(load.acknowledged - stored)


def test_nothing_acknowledged_is_lost_when_the_engine_is_killed(
    make_server: Callable[..., Server], mortal: Any, deployment: str
) -> None:
    """The engine is killed (-9) twice under load and returns: nothing acknowledged is missing or duplicated."""
    server = make_server(mortal.url, STORE_TIMEOUT_SECONDS="3")
    load = Load(server.url, deployment)
    load.start()
    for _ in range(2):
        time.sleep(3)
        mortal.kill()
        time.sleep(1)
        mortal.restart()
    time.sleep(4)
    load.stop()
    index = Index(mortal.url)
    assert load.refused, "the engine was away, so some events must have been refused loudly"
    assert len(load.acknowledged) > 300
    assert missing(load, index, deployment) == []
    documents = index.documents(index_of(deployment))
    assert len(documents) == index.count(index_of(deployment))
    scored = [source["metrics"]["correct"] for source in documents.values() if "metrics" in source]
    complete = sum({"response", "feedback"} <= set(source) for source in documents.values())
    assert len(scored) == complete
    assert set(scored) == {1}
    server.stop()


def test_server_starts_and_says_so_without_an_engine(make_server: Callable[..., Server], deployment: str) -> None:
    """With no engine the server lives, is not ready, and answers 503 with Retry-After."""
    server = make_server("http://127.0.0.1:9", ready=False, STORE_TIMEOUT_SECONDS="1")
    sender = Sender(server.url)
    assert sender.send({}, b"", method="GET", path="/healthz")[0] == 200
    assert sender.send({}, b"", method="GET", path="/readyz")[0] == 503
    status, body = sender.send(event("request", "r1", deployment), ndarray([[1]]))
    assert status == 503
    assert json.loads(body)["error"]
    sender.close()
    server.stop()


def test_concurrent_writers_of_one_document_lose_nothing(
    make_server: Callable[..., Server], server: Server, index: Index, deployment: str
) -> None:
    """Two servers get the parts of the same documents at the same time: each document has all of them, scored."""
    other = make_server()
    count = 60
    failed: list[Any] = []

    def run(url: str, part: str, body: bytes) -> None:
        sender = Sender(url)
        for number in range(count):
            status, answer = sender.send(event(part, f"c{number}", deployment), body)
            if status != 200:
                failed.append((part, number, answer))
        sender.close()

    feedback = json.dumps({"reward": 1, "truth": {"data": {"ndarray": [1]}}}).encode()
    messages = [("request", ndarray([[1, 2]])), ("response", ndarray([[0.2, 0.8]])), ("feedback", feedback)]
    threads = [
        threading.Thread(target=run, args=(url, part, body))
        for url in (server.url, other.url)
        for part, body in messages
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failed == []
    documents = index.documents(index_of(deployment))
    assert len(documents) == count
    for source in documents.values():
        assert {"request", "response", "feedback", "metrics"} <= set(source)
        assert source["metrics"]["correct"] == 1
    other.stop()


def test_readiness_goes_before_the_server(engine: Any, index: Index, deployment: str, tmp_path: Path) -> None:
    """At SIGTERM: /readyz is 503 while events are still taken; then it ends, and what it took is stored."""
    server = Server(engine.url, tmp_path / "server.log", STOP_DELAY_SECONDS="2").wait()
    sender = Sender(server.url)
    server.process.terminate()
    started = time.monotonic()
    time.sleep(0.5)
    status, answer = sender.send({}, b"", method="GET", path="/readyz")
    assert status == 503
    assert "about to stop" in json.loads(answer)["error"]
    assert Sender(server.url).send(event("request", "late", deployment), ndarray([[1]]))[0] == 200
    assert server.process.wait(20) == 0
    assert 2 <= time.monotonic() - started < 6
    assert len(index.documents(index_of(deployment))) == 1
    server.stop()


def test_under_load_a_stop_loses_nothing(engine: Any, index: Index, deployment: str, tmp_path: Path) -> None:
    """SIGTERM in mid-load: it ends within its grace, and every acknowledged event is in the engine."""
    server = Server(engine.url, tmp_path / "server.log").wait()
    load = Load(server.url, deployment)
    load.start()
    time.sleep(1.5)
    server.process.terminate()
    assert server.process.wait(15) == 0
    load.stop()
    assert len(load.acknowledged) > 50
    assert missing(load, index, deployment) == []
    server.stop()
