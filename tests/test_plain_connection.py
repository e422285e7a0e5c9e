"""Plain requests are answered as gunicorn answers them, whatever comes before, after and between."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from request_logger.server.fast_connection import _READ_BYTES
from request_logger.server.fast_parser import MOST_BODY_BYTES
from tests.helpers import Index, Server, event, index_of

pytestmark = pytest.mark.engine

REQUEST = b'{"data": {"ndarray": [[1, 2]], "names": ["a", "b"]}}'
# With a header twice it is gunicorn that reads the request.
TWICE = (("X-Twice", "1"), ("X-Twice", "2"))


class Wire:
    """A connection on which bytes are sent as they are."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=30)
        self._rest = b""

    def answer(self) -> tuple[bytes, bytes]:
        """Read one answer: head and body."""
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: (\d+)", head)
        length = int(found[1]) if found else 0
        while len(self._rest) < length:
            self._more()
        body, self._rest = self._rest[:length], self._rest[length:]
        return head, body

    def is_closed(self) -> bool:
        """Wait for the other side to hang up."""
        return self.socket.recv(1) == b""

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("hung up")
        self._rest += data


def post(headers: Any, body: bytes, *more: tuple[str, str]) -> bytes:
    pairs = [("Host", "here"), *dict(headers).items(), *more, ("Content-Length", str(len(body)))]
    return "".join(["POST / HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in pairs), "\r\n"]).encode() + body


@pytest.fixture(scope="module")
def plain(make_server: Callable[..., Server]) -> Server:
    return make_server(REPLY_EVENTS="true", INGEST_TOKEN="secret")


@pytest.fixture
def wire(plain: Server) -> Iterator[Wire]:
    opened = Wire(plain.url)
    yield opened
    opened.socket.close()


def authorized(part: str, request_id: str, deployment: str) -> dict[str, str]:
    return {**event(part, request_id, deployment), "Authorization": "Bearer secret"}


FEEDBACK = b'{"reward": 1, "truth": {"data": {"ndarray": [1]}}}'
STRUCTURED = {"Content-Type": "application/cloudevents+json", "Authorization": "Bearer secret"}
BATCHED = {"Content-Type": "application/cloudevents-batch+json", "Authorization": "Bearer secret"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param(authorized("request", "r1", "same"), REQUEST, id="an event"),
        pytest.param(authorized("feedback", "r1", "same"), FEEDBACK, id="feedback with a reply"),
        pytest.param(authorized("request", "r2", "same"), b"", id="no body"),
        pytest.param(event("request", "r1", "same"), REQUEST, id="no token"),
        pytest.param({"Authorization": "Bearer secret"}, b"{}", id="no event"),
        pytest.param(authorized("other", "r1", "same"), b"{}", id="of a type that is not stored"),
        pytest.param(STRUCTURED, b"[]", id="no structured event"),
        pytest.param(BATCHED, b"[5]", id="no event in a batch"),
    ],
)
def test_answers_are_gunicorns(plain: Server, headers: dict[str, str], body: bytes) -> None:
    """Status, headers and body are the same both ways."""
    answers = []
    for more in ((), TWICE):
        wire = Wire(plain.url)
        wire.socket.sendall(post(headers, body, *more))
        head, content = wire.answer()
        fields = sorted(re.sub(rb"(?i)^(date|ce-id|ce-time): .*", rb"\1", line) for line in head.split(b"\r\n"))
        content = re.sub(rb'"scored_at":"[^"]*"', b"", content)
        answers.append((fields, content))
        wire.socket.close()
    assert answers[0] == answers[1]


def test_a_connection_per_event(plain: Server, index: Index, deployment: str) -> None:
    """The answer says that the connection ends, as gunicorn's does, and it does."""
    for number, more in enumerate(((), TWICE)):
        wire = Wire(plain.url)
        headers = {**authorized("request", str(number), deployment), "Connection": "close"}
        wire.socket.sendall(post(headers, REQUEST, *more))
        head, _ = wire.answer()
        assert (head[:12], b"\r\nConnection: close" in head, wire.is_closed()) == (b"HTTP/1.1 200", True, True)
        wire.socket.close()
    stored = index_of(deployment)
    assert set(index.documents(stored)) == {(stored, "0"), (stored, "1")}


def test_one_connection_for_all(wire: Wire, index: Index, deployment: str) -> None:
    """Plain and special requests take turns on one connection; all are answered in order, all are stored."""
    large = json.dumps({"data": {"ndarray": [["x" * MOST_BODY_BYTES]]}}).encode()
    kinds = (
        lambda name: post(authorized("request", name, deployment), REQUEST),
        lambda name: b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n",
        lambda name: post(authorized("request", name, deployment), REQUEST, *TWICE),
        lambda name: post(authorized("request", name, deployment), large),
        lambda name: (
            post(authorized("request", name, deployment), REQUEST).replace(
                b"Content-Length: %d\r\n\r\n" % len(REQUEST), b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(REQUEST)
            )
            + b"\r\n0\r\n\r\n"
        ),
        lambda name: post(authorized("request", name, deployment), REQUEST),
    )
    for number, kind in enumerate(kinds):
        wire.socket.sendall(kind(str(number)))
        head, _ = wire.answer()
        assert head.startswith(b"HTTP/1.1 200 "), (number, head)
    assert set(index.documents(index_of(deployment))) == {
        (index_of(deployment), str(number)) for number in range(len(kinds)) if number != 1
    }


@pytest.mark.parametrize("together", [True, False])
def test_who_does_not_wait_for_answers(plain: Server, index: Index, deployment: str, together: bool) -> None:
    """Requests sent one behind the other, in one packet or in many: each is answered and stored."""
    wire = Wire(plain.url)
    requests = [post(authorized("request", str(number), deployment), REQUEST) for number in range(300)]
    assert sum(map(len, requests)) > 2 * _READ_BYTES
    if together:
        wire.socket.sendall(b"".join(requests))
    else:
        for raw in requests:
            wire.socket.sendall(raw)
    for _ in requests:
        assert wire.answer()[0].startswith(b"HTTP/1.1 200 ")
    wire.socket.close()
    assert len(index.documents(index_of(deployment))) == len(requests)


def test_byte_by_byte(wire: Wire, index: Index, deployment: str) -> None:
    """A request that comes in single bytes."""
    for _ in range(2):
        for byte in post(authorized("request", "r1", deployment), REQUEST):
            wire.socket.sendall(bytes((byte,)))
        assert wire.answer()[0].startswith(b"HTTP/1.1 200 ")
    assert len(index.documents(index_of(deployment))) == 1


@pytest.mark.parametrize("raw", [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"POST / HTTP/1.1\r\nA : 1\r\n\r\n"])
def test_garbage_is_gunicorns(wire: Wire, deployment: str, raw: bytes) -> None:
    """Also after a plain request: 400, and the connection ends."""
    wire.socket.sendall(post(authorized("request", "r1", deployment), REQUEST))
    assert wire.answer()[0].startswith(b"HTTP/1.1 200 ")
    wire.socket.sendall(raw)
    assert wire.answer()[0].startswith(b"HTTP/1.1 400 ")
    assert wire.is_closed()


def test_who_hangs_up_at_once(plain: Server, index: Index, deployment: str) -> None:
    """Half a request is nothing; a whole one is stored, though nobody waits for the answer; others are served."""
    whole = post(authorized("request", "r1", deployment), REQUEST)
    for raw in (b"", whole[:50], whole[:-1], whole):
        wire = Wire(plain.url)
        wire.socket.sendall(raw)
        # With a reset instead of an orderly end.
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        time.sleep(0.2 if raw is whole else 0)
        wire.socket.close()
    other = Wire(plain.url)
    other.socket.sendall(post(authorized("request", "r2", deployment), REQUEST))
    assert other.answer()[0].startswith(b"HTTP/1.1 200 ")
    other.socket.close()
    assert {id for _, id in index.documents(index_of(deployment))} == {"r1", "r2"}
