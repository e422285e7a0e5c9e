"""The engine's HTTP answers, read by our own connections: any pieces, any end, never the bytes of another answer."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import urllib3
from elastic_transport import ConnectionError as NoConnectionError
from elastic_transport import HttpHeaders, NodeConfig

from bench.memory_engine import memory_engine
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.transport import OneSendNode, _head
from request_logger.store.writing.bulk import BulkItem, read_answer
from request_logger.store.writing.states import Kind

_TEXT = b'{"a":"x"}'
_WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n" + _TEXT
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n%b\r\n5\r\n%b\r\n0\r\n\r\n" % (
    _TEXT[:4],
    _TEXT[4:],
)
_ZIPPED = gzip.compress(_TEXT, mtime=0)
_GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(_ZIPPED), _ZIPPED)

_CREATE = BulkItem.create("a", "1", b"{}")


class Scripted:
    """A server that sends prepared pieces in answer to each request, and closes the connection after an empty piece."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.connections = 0
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while request := connection.recv(2**16):
                self.requests.append(request)
                for piece in self.pieces:
                    if not piece:
                        return
                    connection.sendall(piece)

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()


@contextmanager
def scripted(*pieces: bytes) -> Iterator[tuple[Scripted, OneSendNode]]:
    """A server with these pieces, and a node for it."""
    server = Scripted(list(pieces))
    node = OneSendNode(NodeConfig("http", "127.0.0.1", server.port, connections_per_node=1, request_timeout=10))
    try:
        yield server, node
    finally:
        node.close()
        server.close()


def ask(node: OneSendNode, body: bytes | None = b"{}\n") -> tuple[int, bytes]:
    """Send a request, and return status and body of its answer."""
    answer = node.perform_request("POST", "/_bulk", body, HttpHeaders({"content-type": "application/json"}))
    return answer.meta.status, answer.body


@pytest.mark.parametrize("whole", [_WHOLE, _CHUNKED, _GZIP, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + _WHOLE])
def test_answers_in_any_pieces(whole: bytes) -> None:
    """An answer is the same in one piece and byte by byte, and the connection is used again."""
    for pieces in ([whole], [whole[at : at + 1] for at in range(len(whole))]):
        with scripted(*pieces) as (server, node):
            assert [ask(node), ask(node)] == [(200, _TEXT)] * 2
            assert server.connections == 1


def test_a_body_that_ends_with_the_connection() -> None:
    """Without a length, the body is all that comes, and the next request has another connection."""
    with scripted(b"HTTP/1.1 200 OK\r\n\r\n", _TEXT, b"") as (server, node):
        assert [ask(node), ask(node)] == [(200, _TEXT)] * 2
        assert server.connections == 2


@pytest.mark.parametrize(
    "head",
    [
        "204 No Content\r\n",
        "304 Not Modified\r\n",
        "200 OK\r\nContent-Length: 0\r\n",
        "404 No\r\nContent-Length: 0\r\n",
    ],
)
def test_no_body(head: str) -> None:
    """An answer without a body is one, with an empty body."""
    with scripted(f"HTTP/1.1 {head}\r\n".encode()) as (server, node):
        assert [ask(node), ask(node)] == [(int(head[:3]), b"")] * 2
        assert server.connections == 1


@pytest.mark.parametrize("after", [b"garbage", _WHOLE, b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nxyz"])
def test_what_follows_an_answer_is_no_answer(after: bytes) -> None:
    """Bytes after an answer belong to no request: the connection isn't used again, and the next answer is its own."""
    with scripted(_WHOLE + after) as (server, node):
        assert [ask(node), ask(node)] == [(200, _TEXT)] * 2
        assert server.connections == 2


def test_a_connection_that_the_engine_closes() -> None:
    """`Connection: close` ends it, whether or not the engine closes it at once."""
    with scripted(_WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")) as (server, node):
        assert [ask(node), ask(node)] == [(200, _TEXT)] * 2
        assert server.connections == 2


@pytest.mark.parametrize("count", [0, 1, 20, len(_WHOLE) - 1])
def test_a_cut_answer_is_an_error(count: int) -> None:
    """An answer that ends before its last byte is none."""
    with scripted(_WHOLE[:count], b"") as (_, node), pytest.raises(NoConnectionError) as raised:
        ask(node)
    assert isinstance(raised.value.errors[0], urllib3.exceptions.ProtocolError)


@pytest.mark.parametrize(
    "raw", [b"\x00\x01\x02", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n:\r\n\r\n"]
)
def test_no_http_is_an_error(raw: bytes) -> None:
    """Bytes that are no HTTP answer are an error at once, also where the connection stays open."""
    with scripted(raw) as (_, node), pytest.raises(NoConnectionError) as raised:
        ask(node)
    assert isinstance(raised.value.errors[0], urllib3.exceptions.ProtocolError)


def test_a_large_body_arrives_whole() -> None:
    """A body that is sent on its own, and an answer of many reads."""
    source = b'{"x":"%b"}' % (b"x" * 2**20)
    with memory_engine() as url:
        engine = SearchEngine(Settings(elasticsearch_host=url), warn=False)
        outcomes = read_answer(engine.bulk(b"".join(BulkItem.create("a", "1", source).pieces)), [_CREATE])
        assert [outcome.kind for outcome in outcomes] == [Kind.DONE]
        _, found = engine.request("POST", "/_mget", {"docs": [{"_index": "a", "_id": "1"}]})
    assert found["docs"][0]["_source"] == {"x": "x" * 2**20}


def test_the_bytes_of_a_request() -> None:
    """One send has the head and the body; a header can't begin another line."""
    with scripted(_WHOLE) as (server, node):
        ask(node)
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert (lines[0], body) == ("POST /_bulk HTTP/1.1", b"{}\n")
        assert {f"host: 127.0.0.1:{server.port}", "accept-encoding: identity", "content-length: 3"} <= set(lines)
        ask(node, None)
        assert b"content-length: 0\r\n" in server.requests[1]
    assert _head("GET", "/", None, {}) == b"GET / HTTP/1.1\r\n\r\n"
    for target, headers in (("/a b", {}), ("/a\r\nx: y", {}), ("/", {"x": "a\r\ny: b"}), ("/", {"x": "a\nb"})):
        with pytest.raises(ValueError):
            _head("GET", target, None, headers)
