"""A proxy between the logger and the engine that replaces or delays responses by a rule."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A response: status, headers, body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def of(cls, body: bytes, status: int = 200, kind: str = "application/json") -> Reply:
        """Return a response with a body."""
        return cls(status, (("Content-Type", kind),), body)

    def with_body(self, body: bytes) -> Reply:
        """Return the same response with another body."""
        return Reply(self.status, self.headers, body)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the engine; ``forward`` returns the engine's own response to it."""

    method: str
    path: str
    body: bytes
    forward: Callable[[], Reply]


Rule = Callable[[Asked], Reply | None]
"""Returns the response, None for the engine's own. Raises ConnectionError to close the connection instead."""


class FaultProxy:
    """A proxy as a context manager; ``rule`` may be changed at any time, None forwards everything."""

    def __init__(self, target: str, rule: Rule | None = None) -> None:
        self.rule = rule
        self.changed = 0
        """Number of responses that were not the engine's own."""
        self._target = urlsplit(target).netloc
        proxy = self

        class Handler(_Handler):
            owner = proxy

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Ignore errors: a killed logger aborts its connections."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        """Return the engine's response. Raises OSError if there is none."""
        connection = http.client.HTTPConnection(self._target, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return Reply(answer.status, tuple(answer.getheaders()), answer.read())
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from None
        finally:
            connection.close()

    def answer(self, asked: Asked) -> Reply:
        """Return the response by the rule. Raises OSError if the connection has to be closed instead."""
        reply = None if self.rule is None else self.rule(asked)
        if reply is None:
            return asked.forward()
        self.changed += 1
        return reply


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FaultProxy
    timeout = _TIMEOUT_SECONDS
    # The head and the body of a response are two writes.
    disable_nagle_algorithm = True

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kept = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}

        def forward() -> Reply:
            return self.owner.forward(self.command, self.path, kept, body)

        try:
            reply = self.owner.answer(Asked(self.command, self.path, body, forward))
        except OSError:
            # As if the engine were down: no response.
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response_only(reply.status)
        for name, value in reply.headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _do  # noqa: N815  # the names that http.server calls

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""
