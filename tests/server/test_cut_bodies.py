"""A body that is cut off is never stored as if it were whole, whichever way it is read."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from request_logger.server.fast_parser import MOST_BODY_BYTES
from tests.helpers import Index, Server, event, index_of

pytestmark = pytest.mark.engine

ROWS = json.dumps(
    {"data": {"ndarray": [[1.5]]}, "meta": {"tags": {"filler": "x" * (MOST_BODY_BYTES + 20_000)}}}
).encode()
SMALL = json.dumps({"data": {"ndarray": [[1.5]]}}).encode()


def structured(deployment: str, body: bytes) -> bytes:
    attributes = {
        name[3:].lower(): value for name, value in event("request", "cut", deployment).items() if name[:3] == "Ce-"
    }
    return json.dumps({**attributes, "datacontenttype": "application/json", "data": json.loads(body)}).encode()


def request(headers: dict[str, str], body: bytes, *, path: str = "/", chunked: bool = False) -> bytes:
    """One request as bytes."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    lines = [f"POST {path} HTTP/1.1", "Host: here", *(f"{name}: {value}" for name, value in headers.items()), length]
    head = "\r\n".join([*lines, "", ""]).encode()
    if not chunked:
        return head + body
    middle = len(body) // 2
    pieces = [body[:middle], body[middle:]]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def answer(server: Server, raw: bytes) -> bytes:
    """Send bytes, and no more of them; return what comes back until the server hangs up."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=30) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while data := connection.recv(65536):
            found += data
        return found


WAYS: dict[str, Callable[[str, bytes], tuple[dict[str, str], bytes, dict[str, Any]]]] = {
    "plain": lambda name, body: (event("request", "cut", name), body, {}),
    "chunked": lambda name, body: (event("request", "cut", name), body, {"chunked": True}),
    "structured": lambda name, body: (
        {"Content-Type": "application/cloudevents+json"},
        structured(name, body),
        {},
    ),
    "structured in chunks": lambda name, body: (
        {"Content-Type": "application/cloudevents+json"},
        structured(name, body),
        {"chunked": True},
    ),
    "batched": lambda name, body: (
        {"Content-Type": "application/cloudevents-batch+json"},
        b"[%b]" % structured(name, body),
        {},
    ),
    "batched in chunks": lambda name, body: (
        {"Content-Type": "application/cloudevents-batch+json"},
        b"[%b]" % structured(name, body),
        {"chunked": True},
    ),
    "twice": lambda name, body: ({**event("request", "cut", name), "X-A": "1", "x-a": "2"}, body, {}),
}


@pytest.mark.parametrize("body", [SMALL, ROWS], ids=["small", "large"])
@pytest.mark.parametrize("way", WAYS)
def test_cut_off(server: Server, index: Index, deployment: str, way: str, body: bytes) -> None:
    """At any place: 400 or no answer, and no document; whole, it is stored."""
    headers, sent, options = WAYS[way](deployment, body)
    raw = request(headers, sent, **options)
    head = raw.index(b"\r\n\r\n") + 4
    cuts = {head + 1, (head + len(raw)) // 2, len(raw) - 1}
    if options:
        # Before the last chunk, which has no bytes: all of the body is there, and nothing says so.
        cuts |= {len(raw) - 5, len(raw) - 2}
    for cut in sorted(cuts):
        found = answer(server, raw[:cut])
        assert not found or found.startswith(b"HTTP/1.1 400 "), (cut, found[:100])
    assert index.count(index_of(deployment)) == 0
    assert answer(server, raw).startswith(b"HTTP/1.1 200 ")
    assert index.count(index_of(deployment)) == 1


def test_cut_off_feedback(server: Server) -> None:
    """The same for /v1/feedback, which another layer reads."""
    body = json.dumps({"deployment": "x", "requestId": "cut", "reward": 1, "filler": "x" * 300}).encode()
    for chunked in (False, True):
        raw = request({"Content-Type": "application/json"}, body, path="/v1/feedback", chunked=chunked)
        found = answer(server, raw[:-100] if not chunked else raw[:-5])
        assert not found or found.startswith(b"HTTP/1.1 400 "), found[:100]


@pytest.mark.parametrize("size", [b"xyz", b"-5", b"", b"5;=", b"0x5", b"5 5", b"1" * 9000])
@pytest.mark.parametrize("path", ["/", "/v1/feedback"])
def test_bad_chunk_size(server: Server, deployment: str, path: str, size: bytes) -> None:
    """It is 400, never 500, also after a good chunk, and the connection ends."""
    for before in (b"", b"5\r\nhello\r\n"):
        head = request(event("request", "bad", deployment), b"", path=path, chunked=True).split(b"\r\n\r\n")[0]
        found = answer(server, head + b"\r\n\r\n" + before + size + b"\r\nhello\r\n0\r\n\r\n")
        assert found.startswith(b"HTTP/1.1 400 "), found[:100]
        assert re.findall(rb"HTTP/1\.1 (\d+)", found) == [b"400"]
