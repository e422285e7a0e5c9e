"""A second receiver: a real HTTP server that takes forwarded requests, or does whatever a test wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.helpers import free_port


@dataclass(frozen=True)
class Received:
    """One request as it came; header names in lower case."""

    headers: dict[str, str]
    body: bytes


Behaviour = Callable[[Received, Any], None]
"""Answers a request by the handler of http.server."""


def answer(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    """Return the behaviour that gives one answer."""

    def behave(received: Received, handler: Any) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def garbage(received: Received, handler: Any) -> None:
    """Answer with what is no HTTP."""
    handler.wfile.write(b"\xff\x00 this is no HTTP\r\n\r\n")
    handler.close_connection = True


def hang_up(received: Received, handler: Any) -> None:
    """Close the connection without an answer."""
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


class Receiver:
    """What it has received, in order of arrival, and how it answers; ``taken`` are those that it answered 2xx."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.behaviour: Behaviour = answer(200)
        self.received: list[Received] = []
        self.never = threading.Event()
        """Set at the end, for behaviours that wait for it."""

    @property
    def bodies(self) -> list[bytes]:
        """The bodies in order of arrival."""
        return [one.body for one in self.received]

    def wait_until_the_end(self, received: Received, handler: Any) -> None:
        """Never answer."""
        self.never.wait(60)
        handler.close_connection = True


@contextmanager
def receiving(port: int | None = None) -> Iterator[Receiver]:
    """Run a receiver at a port."""
    port = port or free_port()
    receiver = Receiver(port)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:
                # The sender was killed before it had sent the whole request: that is none.
                self.close_connection = True
                return
            one = Received({name.lower(): value for name, value in self.headers.items()}, body)
            receiver.received.append(one)
            receiver.behaviour(one, self)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the output of the tests free of requests."""

    class Http(ThreadingHTTPServer):
        daemon_threads = True
        # Many connections at the same moment.
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that ends is part of the tests."""

    server = Http(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.never.set()
        server.shutdown()
        server.server_close()
