"""Idle, slow and many connections: the worker accepts and answers, and a stop lets a sender finish."""

from __future__ import annotations

import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import psutil
import pytest

from request_logger.server import connection_limit
from request_logger.server.connection_limit import MOST_CONNECTIONS, most_connections
from request_logger.server.events_route import EventsRoute
from request_logger.server.fast_connection import FastConnection
from request_logger.server.fast_parser import FastParser
from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.server.test_cut_bodies import request

pytestmark = pytest.mark.engine

FEW_FILES = 400
HALF_HEAD = b"POST / HTTP/1.1\r\nHost: he"
# With a header twice it is gunicorn that reads what follows.
GUNICORNS = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"


def connect(server: Server) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname or "", parts.port or 80), timeout=30)


def healthz(server: Server) -> float:
    """Ask for /healthz on a new connection, as a probe does; return the seconds it took."""
    started = time.monotonic()
    sender = Sender(server.url, timeout=10)
    assert sender.send({}, b"", "GET", "/healthz")[0] == 200
    sender.close()
    return time.monotonic() - started


def is_closed(connection: socket.socket, seconds: float = 0.01) -> bool:
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


@pytest.fixture(scope="module")
def small(make_server: Callable[..., Server]) -> Iterator[Server]:
    """A server whose worker may open few files."""
    server = make_server(GUNICORN_WORKERS="1")
    (worker,) = psutil.Process(server.process.pid).children()
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (FEW_FILES, FEW_FILES))
    worker.send_signal(signal.SIGTERM)
    server.wait("/readyz")
    deadline = time.monotonic() + 30
    while [child for child in psutil.Process(server.process.pid).children() if child.pid != worker.pid] == []:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    worker.wait(30)
    yield server.wait("/readyz")
    server.stop()


@pytest.mark.parametrize("sent", [b"", HALF_HEAD, GUNICORNS], ids=["silent", "half a head", "kept alive"])
def test_more_connections_than_files(small: Server, deployment: str, sent: bytes) -> None:
    """The longest idle ones are closed for the new ones; probes and events are answered."""
    with ExitStack() as stack:
        idle = []
        for _ in range(FEW_FILES + 100):
            connection = stack.enter_context(connect(small))
            if sent:
                connection.sendall(sent)
            if sent == GUNICORNS:
                found = b""
                while not found.endswith(b"ok\n"):
                    found += connection.recv(1000)
            idle.append(connection)
        assert healthz(small) < 10
        sender = Sender(small.url)
        assert sender.send(event("request", "r1", deployment), ndarray([[1]]))[0] == 200
        sender.close()
        closed = [is_closed(connection) for connection in idle]
        assert closed[0]
        assert not closed[-1]
        assert 100 < sum(closed) < FEW_FILES
    assert "Too many open files" not in small.log.read_text()


def test_a_flood(make_server: Callable[..., Server], deployment: str) -> None:
    """4,100 connections, idle or slow: liveness and readiness stay."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MOST_CONNECTIONS + 500:
        pytest.skip("ulimit -n is too low")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000) if hard > 0 else 20_000, hard))
    server = make_server(GUNICORN_WORKERS="1")
    with ExitStack() as stack:
        idle = [stack.enter_context(connect(server)) for _ in range(MOST_CONNECTIONS + 100)]
        for connection in idle[::2]:
            with suppress(ConnectionError):
                connection.sendall(b"P")
        for path in ("/healthz", "/readyz", "/metrics"):
            sender = Sender(server.url, timeout=10)
            assert sender.send({}, b"", "GET", path)[0] == 200
            sender.close()
        (worker,) = psutil.Process(server.process.pid).children()
        # A bound for the pod's memory: about 10 kB each.
        assert worker.memory_info().rss < 200 * 2**20
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    server.stop()


def test_limits_follow_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker keeps fewer connections than it may open files, and some however few they are."""
    for files, expected in (
        (1024, 768),
        (10, 16),
        (10**6, MOST_CONNECTIONS),
        (resource.RLIM_INFINITY, MOST_CONNECTIONS),
    ):
        monkeypatch.setattr(connection_limit.resource, "getrlimit", lambda _, files=files: (files, files))
        assert most_connections() == expected


@pytest.mark.parametrize("way", ["plain", "large", "chunked"])
@pytest.mark.parametrize("part", ["head", "body"])
def test_half_a_request_at_a_stop(
    make_server: Callable[..., Server], index: Index, deployment: str, way: str, part: str
) -> None:
    """A sender that is in the middle of a request finishes it, within the grace; idle connections don't hold it up."""
    server = make_server(GUNICORN_WORKERS="1")
    body = ndarray([["x" * (400_000 if way == "large" else 100)]])
    raw = request(event("request", "half", deployment), body, chunked=way == "chunked")
    cut = 60 if part == "head" else raw.index(b"\r\n\r\n") + 50
    with connect(server) as busy, connect(server) as idle:
        busy.sendall(raw[:cut])
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert is_closed(idle, 10)
        time.sleep(1)
        busy.sendall(raw[cut:])
        busy.settimeout(20)
        assert busy.recv(1000).startswith(b"HTTP/1.1 200 ")
    server.process.wait(20)
    assert index.count(index_of(deployment)) == 1


def test_a_request_has_its_time() -> None:
    """The time of an idle connection counts from a request's first bytes, however many more of them trickle in."""
    ours, theirs = socket.socketpair()
    connection = FastConnection(ours, EventsRoute.__new__(EventsRoute), lambda: True)
    reader = FastParser()
    since = [connection.idle_since]
    for _ in range(3):
        time.sleep(0.01)
        assert connection._goes_on_reading(reader)
        since.append(connection.idle_since)
    assert since[0] < since[1] == since[2] == since[3]
    reader.close()
    ours.close()
    theirs.close()
