"""Reports are computed beside the server: events never wait for one, and there is one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import requests

from request_logger.server.report_process import WAIT_SECONDS, ReportProcess
from request_logger.settings import Settings
from tests.helpers import Sender, Server, event, free_port, ndarray
from tests.store.proxy import Proxy

pytestmark = pytest.mark.engine
PATHS = ("/v1/report", "/ui", "/v1/metrics")


class Gate(list[Any]):
    """What a proxy notes: searches of predictions stay in it until it opens."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.reached = threading.Event()

    def append(self, seen: Any) -> None:
        # Other threads of the server search in its own indices.
        if "/request-logger-" not in seen[0] and ("search" in seen[0] or "_field_caps" in seen[0]):
            self.reached.set()
            self.opened.wait(60)
        super().append(seen)


@pytest.fixture
def gate(engine: Any) -> Iterator[tuple[Gate, Proxy]]:
    with Proxy(engine.url) as proxy:
        proxy.seen = Gate()
        yield proxy.seen, proxy
        proxy.seen.opened.set()


@pytest.mark.parametrize("worker_class", ["gevent", "gthread"])
def test_events_while_a_report_waits(
    make_server: Callable[..., Server], gate: tuple[Gate, Proxy], deployment: str, worker_class: str
) -> None:
    """While the engine holds a report, events and probes are answered, and a second report is 429.

    With the pages one process is there from the start to the end.
    """
    held, proxy = gate
    server = make_server(
        f"http://127.0.0.1:{proxy.port}",
        GUNICORN_WORKERS="1",
        UI="true",
        GUNICORN_WORKER_CLASS=worker_class,
        SELDON_DEPLOYMENT_ID=deployment,
    )
    (worker,) = psutil.Process(server.process.pid).children()
    (process,) = worker.children()
    sender = Sender(server.url)
    assert sender.send(event("request", "first", deployment), ndarray([[1]]))[0] == 200
    found: dict[str, requests.Response] = {}

    def ask(path: str) -> None:
        asked = {} if path == "/v1/metrics" else {"target": deployment}
        found[path] = requests.get(server.url + path, asked, timeout=90)

    first = threading.Thread(target=ask, args=["/v1/report"])
    first.start()
    assert held.reached.wait(30)
    others = [threading.Thread(target=ask, args=[path]) for path in ("/ui", "/v1/metrics")]
    for thread in others:
        thread.start()
    for number in range(50):
        assert sender.send(event("request", f"r{number}", deployment), ndarray([[1]]))[0] == 200
        assert sender.send({}, b"", "GET", "/healthz")[0] == 200
    for thread in others:
        thread.join()
    for path in ("/ui", "/v1/metrics"):
        assert (found[path].status_code, found[path].headers["Retry-After"]) == (429, "5")
        assert "another report" in found[path].json()["error"]
    assert [found[path].headers.get("Refresh") for path in ("/ui", "/v1/metrics")] == ["5", None]
    assert "/v1/report" not in found
    held.opened.set()
    first.join()
    assert found["/v1/report"].status_code == 200
    for path in PATHS:
        ask(path)
        assert found[path].status_code == 200, found[path].text
    assert found["/ui"].headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script" not in found["/ui"].headers["Content-Security-Policy"]
    assert worker.children() == [process]
    sender.close()
    server.stop()


def test_many_at_once(server: Server) -> None:
    """Each is answered, 200 or 429."""
    statuses = []
    threads = [
        threading.Thread(
            target=lambda: statuses.append(requests.get(f"{server.url}/v1/report?target=none", timeout=90).status_code)
        )
        for _ in range(25)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 25
    assert 200 in statuses
    assert set(statuses) <= {200, 429}


def test_it_ends_with_its_worker(make_server: Callable[..., Server]) -> None:
    """Also where that is killed, and one that was killed itself is replaced at the next question."""
    server = make_server(GUNICORN_WORKERS="1")
    url = f"{server.url}/v1/report?target=none"
    assert requests.get(url, timeout=30).status_code == 200
    (worker,) = psutil.Process(server.process.pid).children()
    (process,) = worker.children()
    process.kill()
    assert requests.get(url, timeout=30).status_code == 200
    (process,) = [child for child in worker.children() if child.status() != psutil.STATUS_ZOMBIE]
    worker.kill()
    process.wait(20)
    server.stop()


def test_errors(reach: Settings) -> None:
    """A question of no sense is 400, an engine that is down 503: one line that says which."""
    process = ReportProcess(reach)
    answer = process.ask("/v1/report", {"colour": "red"})
    assert (answer.status, answer.body.count(b"\n")) == (400, 1)
    assert answer.error.startswith("expected parameters of target, from,")
    process._end()
    process = ReportProcess(Settings(elasticsearch_host="127.0.0.1", elasticsearch_port=free_port()))
    for path in PATHS:
        started = time.monotonic()
        answer = process.ask(path, {})
        assert answer.status == 503
        assert b"does not answer" in answer.body
        assert time.monotonic() - started < 20 > WAIT_SECONDS
    process._end()
