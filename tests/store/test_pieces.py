"""A large _bulk is sent in pieces, without being joined in memory; the engine receives the same bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from request_logger.common.pieces import LEAST_BYTES, Pieces, together
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine

LARGE = b"x" * LEAST_BYTES


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        ([b"a", b"", b"b"], [b"ab"]),
        ([LARGE], [LARGE]),
        ([b"a", b"b", LARGE, b"c", b"d"], [b"ab", LARGE, b"cd"]),
        ([LARGE, LARGE, b"a"], [LARGE, LARGE, b"a"]),
    ],
)
def test_only_small_pieces_are_joined(pieces: list[bytes], expected: list[bytes]) -> None:
    """What is sent has the same bytes in the same order; a large piece is not copied."""
    found = together(pieces)
    assert bytes(found) == b"".join(pieces)
    assert len(found) == sum(map(len, pieces))
    if isinstance(found, Pieces):
        assert list(found) == expected
        assert any(piece is LARGE for piece in found)
    else:
        assert [found] == expected or not expected


class _Engine(ThreadingHTTPServer):
    """An engine of a vendor, which keeps the bodies of its requests."""

    headers: dict[str, str]
    bodies: list[bytes]


class _Handler(BaseHTTPRequestHandler):
    server: _Engine

    def do_GET(self) -> None:
        self._answer(b'{"version": {"number": "9.0.0"}}')

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self._answer(b'{"took": 1, "errors": false, "items": []}')

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        for name, value in {**self.server.headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(params=["elastic", "opensearch"])
def server(request: pytest.FixtureRequest) -> Iterator[_Engine]:
    server = _Engine(("127.0.0.1", 0), _Handler)
    server.bodies = []
    server.headers = {"content-type": "application/json"}
    if request.param == "elastic":
        server.headers["x-elastic-product"] = "Elasticsearch"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_both_clients_send_pieces(server: _Engine) -> None:
    """The engine gets the bytes of all pieces, from either client."""
    pieces = together([b'{"index":{}}\n', LARGE, b"\n", b'{"index":{}}\n', LARGE + b"y", b"\n"])
    assert isinstance(pieces, Pieces)
    engine = SearchEngine(Settings(elasticsearch_host=f"127.0.0.1:{server.server_port}"))
    assert engine.bulk(pieces)["items"] == []
    assert server.bodies == [bytes(pieces)]
