"""A reverse proxy in front of a real engine: ends TLS, asks for credentials, has a path, notes what comes."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import trustme


class Certificates:
    """A certificate authority and a certificate of it for this machine."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(self.context)


class Proxy:
    """Forwards to ``target`` what has the ``authorization`` header and the ``prefix``; 401 and 404 for all else."""

    def __init__(
        self,
        target: str,
        certificates: Certificates | None = None,
        *,
        authorization: str | None = None,
        prefix: str = "",
    ) -> None:
        self.target = urlsplit(target)
        self.authorization = authorization
        self.prefix = prefix
        self.seen: list[tuple[str, dict[str, str]]] = []
        """Path and headers (names in lower case) of each request."""
        self.instead: Callable[[str, str], tuple[int, dict[str, str], bytes] | None] = lambda method, path: None
        """Give status, headers and body of what a request (method, path) gets instead; None: what the engine says."""
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if certificates is not None:
            # The handshake is the handler thread's: one that fails must not hold up the others.
            self._server.socket = certificates.context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Proxy
    timeout = 30

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.owner.seen.append((self.path, headers))
        instead = self.owner.instead(self.command, self.path)
        if instead is not None:
            self._answer(*instead)
        elif self.owner.authorization is not None and headers.get("authorization") != self.owner.authorization:
            self._answer(401, {}, b'{"error": "who are you?", "status": 401}')
        elif not self.path.startswith(self.owner.prefix):
            self._answer(404, {}, b'{"error": "no such path", "status": 404}')
        else:
            kept = {
                name: value for name, value in headers.items() if name not in ("authorization", "host", "connection")
            }
            engine = http.client.HTTPConnection(
                self.owner.target.hostname or "", self.owner.target.port or 80, timeout=30
            )
            path = self.path.removeprefix(self.owner.prefix) or "/"
            engine.request(self.command, path, body or None, kept)
            answer = engine.getresponse()
            self._answer(answer.status, dict(answer.getheaders()), answer.read())
            engine.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _forward  # noqa: N815  # the names that http.server calls

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: what came is in `Proxy.seen`."""
