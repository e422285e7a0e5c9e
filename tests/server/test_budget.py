"""Memory: what requests hold is counted, and no body makes a worker hold more than the stated bound."""

from __future__ import annotations

import json
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import psutil
import pytest
import requests

from request_logger.documents.event import Body, from_headers
from request_logger.documents.parts import TooManyRowsError, parts_of
from request_logger.ingest.memory_budget import ROW_BYTES, Budget, NoRoomError, RequestTooLargeError, parsed_bytes
from request_logger.settings import Settings
from tests.helpers import Sender, Server, event, free_port, ndarray
from tests.server.test_cut_bodies import request

ELEMENTS = (
    "[1]", "[]", "[[]]", "[[[[[1]]]]]", "[1,2,3]", "{}", '{"":0}', '{"a":1,"b":2}', '{"a":{"b":{"c":[]}}}', "1", "1000",
    "1.5", "-1e300", "true", "null", '""', '"ab"', '"\u00e9"', '"x\U0001f600"', '"' + "x" * 300 + '"',
    '"' + "x" * 300 + '\U0001f600"',
    '{"id":"1","type":"t","source":"s","data":{"names":["a","b"],"ndarray":[[1,2.5]]}}',
)  # fmt: skip


def test_more_rows_than_fit_are_refused() -> None:
    """They are no defect in decoding, whose body would be stored as it is and acknowledged."""
    headers = {name.lower(): value for name, value in event("request", "x", "d").items()}
    raw = ndarray([[1]] * 20)
    one = from_headers(headers, Body(raw, "application/json", len(raw)), Settings())
    assert len(parts_of(one, None, 20)) == 20
    with pytest.raises(TooManyRowsError):
        parts_of(one, None, 19)


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("count", [1, 10, 1000, 20_000])
def test_parsed_json_is_estimated_from_above(element: str, count: int) -> None:
    """Whatever the values are, they hold no more than is said."""
    raw = f"[{','.join([element] * count)}]".encode()
    tracemalloc.start()
    try:
        values = orjson.loads(raw)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(values) == count
    # Small values of all processes are shared, large ones are not; a list has a few places more than it needs.
    assert held <= parsed_bytes(raw) + 500


def test_a_budget_is_never_exceeded() -> None:
    """Also with threads; everything is released, and what can never fit is distinguished from what can't fit now."""
    budget = Budget(100)
    with pytest.raises(RequestTooLargeError, match="MEMORY_BUDGET_BYTES"):
        budget.take(101)
    with budget.share() as share:
        share.take(60)
        with pytest.raises(NoRoomError):
            budget.take(41)
        with pytest.raises(RequestTooLargeError):
            share.take(41)
        budget.take(40)
    assert budget.held_bytes == 40
    budget.give_back(40)

    def work() -> int:
        done = 0
        for _ in range(2000):
            try:
                with budget.share() as share:
                    share.take(30)
                    assert budget.held_bytes <= 100
                    done += 1
            except NoRoomError:
                pass
        return done

    with ThreadPoolExecutor(8) as pool:
        assert sum(future.result() for future in [pool.submit(work) for _ in range(8)]) > 0
    assert budget.held_bytes == 0


def test_the_budget_reports_what_is_held() -> None:
    """Only when it has changed by 1/64 of the budget, and the last time near nothing."""
    reported: list[int] = []
    budget = Budget(6400, reported.append)
    for _ in range(250):
        budget.take(10)
    assert reported == list(range(100, 2501, 100))
    budget.give_back(2495)
    assert reported[-1] == 5 == budget.held_bytes
    assert len(reported) == 26


def worker_of(server: Server) -> psutil.Process:
    (worker,) = psutil.Process(server.process.pid).children()
    return worker


def most_memory(process: psutil.Process) -> int:
    """The most that a process has had resident (bytes)."""
    with open(f"/proc/{process.pid}/status") as lines:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.fixture(scope="module")
def dedicated_server(make_server: Callable[..., Server]) -> Iterator[Server]:
    server = make_server(GUNICORN_WORKERS="1")
    yield server
    server.stop()


def test_more_rows_than_fit(tmp_path: Path) -> None:
    """Such a body is answered 413 with the setting's name; one whose rows fit is not: here the engine is missing."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    server = Server(nowhere, tmp_path / "log", MEMORY_BUDGET_BYTES=str(2**20), STORE_TIMEOUT_SECONDS="1")
    sender = Sender(server.wait("/healthz").url)
    try:
        for rows, status in ((2**20 // ROW_BYTES + 1, 413), (10, 503)):
            found, answer = sender.send(event("request", f"r{rows}", "iris"), ndarray([[1]] * rows))
            assert (found, b"MEMORY_BUDGET_BYTES" in answer) == (status, status == 413)
    finally:
        sender.close()
        server.stop()
    assert "TooManyRowsError" not in server.log.read_text()


# 1 GiB for three workers and their master: see docs/operations.md.
BOUND = 320 * 2**20
ROW_BOMBS = {
    "rows": b'{"data":{"ndarray":[%b[1]]}}' % (b"[1]," * 74_990),
    "numbers": b'{"data":{"ndarray":[%b1]}}' % (b"1," * 149_980),
    "objects": b'{"instances":[%b{}]}' % (b'{"":0},' * 42_000),
    "empty lists": b'{"jsonData":[%b[]]}' % (b"[]," * 99_000),
    "tensor": b'{"inputs":[{"name":"a","datatype":"INT8","shape":[149900,1],"data":[%b1]}]}' % (b"1," * 149_899),
}


@pytest.mark.engine
@pytest.mark.parametrize("kind", ROW_BOMBS)
def test_many_rows_in_small_bodies(dedicated_server: Server, deployment: str, kind: str) -> None:
    """20 bodies of 300 kB at once: each has a documented answer, memory is bounded, and the worker goes on."""
    body = ROW_BOMBS[kind]
    assert len(body) < 300_000
    worker = worker_of(dedicated_server)

    def send(number: int) -> int:
        sender = Sender(dedicated_server.url)
        try:
            return sender.send(event("request", f"{kind}{number}", deployment), body)[0]
        finally:
            sender.close()

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(send, range(20))) <= {200, 413, 503}
    assert most_memory(worker) < BOUND
    assert worker_of(dedicated_server) == worker
    sender = Sender(dedicated_server.url)
    assert sender.send(event("request", "good", deployment), ndarray([[1]]))[0] == 200
    sender.close()


@pytest.mark.engine
@pytest.mark.parametrize("content_type", ["application/cloudevents+json", "application/cloudevents-batch+json"])
@pytest.mark.parametrize("chunked", [False, True])
def test_large_structured_requests(dedicated_server: Server, deployment: str, content_type: str, chunked: bool) -> None:
    """Over MAX_STRUCTURED_BYTES: 413 with the limit's name. Below it, what doesn't fit into memory: 413, too."""
    worker = worker_of(dedicated_server)
    attributes = {
        name[3:].lower(): value for name, value in event("request", "big", deployment).items() if name[:3] == "Ce-"
    }
    start = json.dumps({**attributes, "datacontenttype": "application/json"}).encode()[:-1]
    for size, limit in ((99 * 2**20, "MAX_STRUCTURED_BYTES"), (19 * 2**20, "MEMORY_BUDGET_BYTES")):
        body = start + b',"data":[%b[1]]}' % (b"[1]," * (size // 4))
        if "batch" in content_type:
            body = b"[%b]" % body
        pieces = (body[at : at + 2**20] for at in range(0, len(body), 2**20))
        answer = requests.post(
            dedicated_server.url,
            pieces if chunked else body,
            headers={"Content-Type": content_type},
            timeout=60,
        )
        assert (answer.status_code, limit in answer.json()["error"]) == (413, True)
    assert most_memory(worker) < BOUND
    assert worker_of(dedicated_server) == worker


@pytest.mark.engine
def test_a_large_structured_event_is_kept_by_its_digest(dedicated_server: Server, deployment: str) -> None:
    """One over MAX_PAYLOAD_BYTES within the limits is stored as size and SHA-256, as in binary mode."""
    attributes = {
        name[3:].lower(): value for name, value in event("request", "big", deployment).items() if name[:3] == "Ce-"
    }
    body = json.dumps({**attributes, "datacontenttype": "text/plain", "data": "x" * 2**22}).encode()
    answer = requests.post(
        dedicated_server.url, body, headers={"Content-Type": "application/cloudevents+json"}, timeout=60
    )
    assert answer.status_code == 200


@pytest.mark.engine
def test_bodies_being_read_are_counted(make_server: Callable[..., Server], deployment: str) -> None:
    """Bodies of which half has arrived hold the budget: the next is answered 503, and taken once they are gone."""
    server = make_server(GUNICORN_WORKERS="1", MEMORY_BUDGET_BYTES=str(2 * 2**20))
    body = ndarray([["x" * 200_000]])
    senders = []
    statuses = []
    for number in range(8):
        raw = request(event("request", f"half{number}", deployment), body)
        connection = _open(server)
        connection.sendall(raw[:-100])
        senders.append(connection)
    for connection in senders:
        connection.settimeout(2)
        try:
            statuses.append(connection.recv(100)[9:12])
        except TimeoutError:
            statuses.append(b"")
    assert statuses.count(b"503") >= 2
    assert statuses.count(b"") >= 2
    for connection in senders:
        connection.close()
    sender = Sender(server.url)
    assert sender.send(event("request", "next", deployment), body)[0] == 200
    sender.close()
    server.stop()


def _open(server: Server) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname or "", parts.port or 80), timeout=30)


def test_the_defaults_fit_a_pod_of_a_gibibyte() -> None:
    """Three workers, each with all that its settings let it hold, and their master."""
    settings = Settings()
    base, decoding = 66 * 2**20, 125 * 10**6  # docs/operations.md
    worker = base + settings.memory_budget_bytes + 2 * settings.cache_max_bytes + decoding
    assert 3 * worker + 30 * 2**20 < 1.1 * 2**30
