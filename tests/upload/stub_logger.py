"""A logger whose answers to POST /v1/feedback are scripted: for answers that a real one gives only in trouble."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[[list[dict[str, Any]]], tuple[int, Any, dict[str, str]]]
"""Feedback of a request -> status, body (bytes as they are, else JSON) and headers."""


def accept(rows: list[dict[str, Any]]) -> tuple[int, Any, dict[str, str]]:
    """Accept all."""
    return 200, {"accepted": len(rows)}, {}


class StubLogger:
    """Answers with the scripts in order, then with the last of them; remembers each request."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._lock = threading.Lock()
        self.requests: list[tuple[str, dict[str, str], list[dict[str, Any]]]] = []

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, dict[str, str]]:
        rows = [json.loads(line) for line in body.split(b"\n")]
        with self._lock:
            self.requests.append((path, headers, rows))
            script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        return script(rows)

    @property
    def rows(self) -> list[list[Any]]:
        """The ids of each request."""
        return [[row["request_id"] for row in rows] for _, _, rows in self.requests]

    @property
    def ids(self) -> list[Any]:
        """The ids of all requests, sorted by length: two requests are under way at once."""
        return sorted((id for ids in self.rows for id in ids), key=lambda each: (len(each), each))


@contextmanager
def running(logger: StubLogger, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run the stub, on any port by default; its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer, headers = logger.answer(self.path, dict(self.headers), body)
            if status == 0:
                # The connection ends without an answer.
                self.close_connection = True
                return
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the output of the tests free of requests."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
