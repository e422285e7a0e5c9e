"""FAST_HTTP: with the fast path and without it the same events have the same answers and documents."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from request_logger.server.fast_worker import FastWorker
from request_logger.server.master import _Server
from request_logger.server.worker import Worker
from request_logger.settings import Settings
from tests.helpers import Index, Sender, Server, event, index_of, ndarray

pytestmark = pytest.mark.engine

MODES = {"on": True, "off": False}
FEEDBACK = b'{"reward": 1, "truth": {"data": {"ndarray": [1]}}}'


@pytest.fixture(scope="module")
def servers(make_server: Callable[..., Server]) -> dict[str, Server]:
    return {mode: make_server(GUNICORN_WORKERS="1", FAST_HTTP=mode) for mode in MODES}


def requests_of(deployment: str) -> list[tuple[dict[str, str], bytes]]:
    structured = {
        "specversion": "1.0",
        "id": "r1",
        "type": "io.seldon.serving.inference.response",
        "source": "test",
        "requestid": "r1",
        "modelid": "classifier",
        "inferenceservicename": deployment,
        "namespace": "test",
        "endpoint": "default",
        "data": {"data": {"ndarray": [[0.9]]}},
    }
    return [
        (event("request", "r1", deployment), ndarray([[1, 2]])),
        (event("feedback", "r1", deployment), FEEDBACK),
        ({"Content-Type": "application/cloudevents+json"}, json.dumps(structured).encode()),
        ({"Content-Type": "application/cloudevents-batch+json"}, json.dumps([structured]).encode()),
        (event("request", "r2", deployment), b""),
        (event("request", "r3", deployment), ndarray([["x" * 300_000]])),
        (event("other", "r1", deployment), b"{}"),
        ({}, b"{}"),
        ({"Content-Type": "application/cloudevents+json"}, b"[]"),
    ]


def stored(index: Index, deployment: str) -> dict[str, Any]:
    """The documents of a deployment, without its name and what is of the moment."""
    documents = {
        id: json.loads(json.dumps(source).replace(deployment, "it"))
        for (_, id), source in index.documents(index_of(deployment)).items()
    }
    for source in documents.values():
        for part in ("request", "response", "feedback", "metrics"):
            source.get(part, {}).pop("ce-time", None)
            source.get(part, {}).pop("received-time", None)
            source.get(part, {}).pop("scored_at", None)
        source.pop("@timestamp", None)
    return documents


def test_both_ways_are_the_same(servers: dict[str, Server], index: Index, deployment: str) -> None:
    """Binary, structured and batched events, feedback, large bodies and mistakes."""
    answers, documents = {}, {}
    for mode, server in servers.items():
        name = f"{deployment}-{mode}"
        sender = Sender(server.url)
        answers[mode] = [sender.send(headers, body) for headers, body in requests_of(name)]
        sender.close()
        documents[mode] = stored(index, name)
    assert [status for status, _ in answers["on"]] == [200] * 7 + [400] * 2
    assert answers["on"] == answers["off"]
    assert set(documents["on"]) == {"r1", "r2", "r3"}
    assert documents["on"] == documents["off"]


@pytest.mark.parametrize("mode", MODES)
def test_the_worker_of_each_mode(mode: str) -> None:
    """The fast path is in a class of its own, which gunicorn isn't given where it is off."""
    worker = _Server(Settings(fast_http=MODES[mode])).cfg.worker_class
    assert issubclass(worker, Worker)
    assert issubclass(worker, FastWorker) is MODES[mode]


@pytest.mark.parametrize("mode", MODES)
def test_idle_connections_end_at_a_stop(make_server: Callable[..., Server], deployment: str, mode: str) -> None:
    """A connection that is open without a request doesn't hold the server up."""
    server = make_server(GUNICORN_WORKERS="1", FAST_HTTP=mode)
    sender = Sender(server.url)
    assert sender.send(event("request", "r1", deployment), ndarray([[1]])) == (200, b"")
    server.process.terminate()
    # Less than the 30 s that a request under way would have.
    assert server.process.wait(20) == 0
    sender.close()
    server.stop()
