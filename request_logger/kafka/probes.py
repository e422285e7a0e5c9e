"""Serves /healthz, /readyz and /metrics for the consumer, which has no other HTTP server."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from request_logger.common.listen_addresses import addresses
from request_logger.ingest.access import Access

HealthCheck = Callable[[], str | None]
"""Returns the problem as text, None where there is none."""


class Probes:
    """An HTTP server for probes, in daemon threads; it stops with `close`.

    ``host`` is the address to listen on, empty for all. Raises OSError where the port is taken.
    """

    def __init__(
        self,
        port: int,
        registry: CollectorRegistry,
        access: Access,
        *,
        alive: HealthCheck,
        ready: HealthCheck,
        host: str = "",
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                challenge = access.challenge(path, self.headers.get("Authorization"))
                if challenge is not None:
                    self._answer(401, "missing or wrong credentials\n", {"WWW-Authenticate": challenge})
                elif path == "/metrics":
                    self._answer(200, generate_latest(registry), {"Content-Type": CONTENT_TYPE_LATEST})
                elif path in ("/healthz", "/readyz"):
                    problem = (alive if path == "/healthz" else ready)()
                    self._answer(503 if problem else 200, f"{problem or 'ok'}\n")
                else:
                    self._answer(404, "not found; expected /healthz, /readyz or /metrics\n")

            def _answer(self, status: int, body: str | bytes, headers: dict[str, str] | None = None) -> None:
                raw = body.encode() if isinstance(body, str) else body
                self.send_response(status)
                for name, value in {"Content-Type": "text/plain", **(headers or {})}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing: a line per probe would fill the log."""

        self._servers = [_server(address, port, Handler) for address in addresses(host)]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()

    def close(self) -> None:
        """Stop the server."""
        for server in self._servers:
            server.shutdown()
            server.server_close()


def _server(address: str, port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    class Server(ThreadingHTTPServer):
        address_family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        daemon_threads = True

        def server_bind(self) -> None:
            # http.server's own server_bind looks up the host name, which may block.
            socketserver.TCPServer.server_bind(self)
            self.server_name, self.server_port = address, port

    return Server((address, port), handler)
