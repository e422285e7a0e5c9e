"""Requests that took memory or time without a bound.

Each is sent to a real server on a real engine, with a proxy between them where the engine has to misbehave. The
outcome is always the same: 200, 4xx or 503 within seconds, nothing else waits, nothing is lost, the server lives. The
docstrings say what happened before; the numbers are those of the list of twenty defects.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from bench.faults.memory import Memory
from tests.defects.helpers import (
    DOCUMENTED,
    Others,
    attributes_of,
    lives,
    post_large,
)
from tests.helpers import Server, event

pytestmark = pytest.mark.engine


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("kind", ["structured", "many rows"])
def test_9_memory(make_server: Callable[..., Server], deployment: str, kind: str) -> None:
    """One structured event of 99 MiB took 3.25 GiB, 20 bodies of 300 kB with one-element rows 3.0 GiB."""
    server = make_server(GUNICORN_WORKERS="3")
    memory = Memory()
    memory.pids.add(server.process.pid)
    with memory, Others(server, deployment, connections=1):
        if kind == "structured":
            attributes = attributes_of("request", "s", deployment)
            rows = "[" + ",".join(["[1,2,3,4]"] * (99 * 2**20 // 10)) + "]"
            body = (json.dumps(attributes)[:-1] + ', "data": {"data": {"ndarray": ' + rows + "}}}").encode()
            assert post_large(server.url, {"Content-Type": "application/cloudevents+json"}, body) in DOCUMENTED
        else:
            body = b'{"data": {"ndarray": [' + b",".join([b"[1]"] * 74_000) + b"]}}"
            assert 290_000 < len(body) < 300_000
            answers: list[int] = []
            threads = [
                threading.Thread(
                    target=lambda n=n: answers.append(
                        post_large(server.url, event("request", f"m{n}", deployment), body)
                    )
                )
                for n in range(20)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert set(answers) <= set(DOCUMENTED), answers
    assert memory.peak < 1024 * 1.048576
    server.stop()


@pytest.mark.usefixtures("tidy")
@pytest.mark.parametrize("kind", ["one id", "different ids"])
def test_10_batches(one: Server, deployment: str, kind: str) -> None:
    """20,000 events of one id in a batch: quadratic, 40 of 55 good events 503; 50,000: the worker was killed."""
    count = 20_000 if kind == "one id" else 50_000
    events = [
        {
            **attributes_of("request", "r" if kind == "one id" else f"r{number}", deployment),
            "data": {"data": {"ndarray": [[number]]}},
        }
        for number in range(count)
    ]
    body = json.dumps(events).encode()
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    with Others(one, deployment, connections=2):
        assert post_large(one.url, headers, body, 30) in (200, 207, 413, 503)
    lives(one, deployment)


def test_11_made_up_methods(make_server: Callable[..., Server], tmp_path: Path) -> None:
    """100,000 requests with made-up methods took 1.9 GiB, and 356 MiB of the folder of the metrics."""
    folder = tmp_path / "metrics"
    server = make_server(GUNICORN_WORKERS="1", PROMETHEUS_MULTIPROC_DIR=str(folder))

    def size() -> int:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    with requests.Session() as session:
        session.get(f"{server.url}/metrics", timeout=10)
        before = size()
        for number in range(2000):
            for path in ("", "/healthz", "/v1/metrics") if number % 10 == 0 else ("",):
                status = session.request(f"METHOD{number}", server.url + path, timeout=10).status_code
                assert status in (400, 405, 501)
        text = session.get(f"{server.url}/metrics", timeout=10).text
    assert size() < before + 2**20
    assert "METHOD1999" not in text
    assert len(text) < 200_000
    server.stop()


@pytest.mark.usefixtures("tidy")
def test_16_reports_at_once(make_server: Callable[..., Server], deployment: str) -> None:
    """Ten reports of 19 classes at once, in the ingest loop: 18.8 s; 25 at once: 30 events timed out."""
    server = make_server(GUNICORN_WORKERS="1")
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    events = []
    for number in range(190):
        probabilities = [[0.05 + (column == number % 19) / 2 for column in range(19)]]
        for part, data in (
            ("response", {"data": {"ndarray": probabilities}}),
            ("feedback", {"truth": {"data": {"ndarray": [number * 7 % 19]}}}),
        ):
            attributes = attributes_of(part, f"r{number}", deployment)
            events.append({**attributes, "data": data})
    assert post_large(server.url, headers, json.dumps(events).encode()) == 200
    answers: list[int] = []

    def ask() -> None:
        answers.append(requests.get(f"{server.url}/v1/report?target=test/{deployment}", timeout=60).status_code)

    with Others(server, deployment, connections=2) as others:
        threads = [threading.Thread(target=ask) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(answers) <= {200, 429}
    assert 200 in answers
    assert others.longest < 4
    server.stop()
