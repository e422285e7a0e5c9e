"""Connections to the search engine that cost little per request, and trust only the configured CA.

urllib3 sends the head and the body of a request with two system calls, each of which wakes the search engine's process,
and reads an answer's head with the standard library's parser for e-mails. Both together take more CPU time than the
events of a small _bulk. Here urllib3 still opens, checks, pools and closes connections; a request is sent at once, and
its answer is read by `HttpAnswer`. `elastic_transport` takes the class of a node, and urllib3 the class of a pool's
connections: both are public.
"""

from __future__ import annotations

import re
import ssl
from io import BytesIO
from typing import Any

import elastic_transport
from urllib3 import HTTPHeaderDict, HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection

from request_logger.common.http_answer import HttpAnswer
from request_logger.common.pieces import LEAST_BYTES, Pieces

_READ_BYTES = 64 * 2**10
_PLAIN_METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})
# Characters that would end a line, or the target, of the head.
_NOT_IN_HEADER = re.compile(r"[\r\n\0]")
_NOT_IN_TARGET = re.compile(r"[^\x21-\x7e]")


class OneSendNode(elastic_transport.Urllib3HttpNode):
    """A host of the engine: its connections send each request at once; with ``ca_certs`` they trust that file alone."""

    def __init__(self, config: elastic_transport.NodeConfig) -> None:
        super().__init__(config)
        self.pool.ConnectionCls = _OneSendTls if self.pool.scheme == "https" else _OneSend
        if config.ca_certs:
            # The node's own context trusts the system's CAs as well.
            self.pool.conn_kw["ssl_context"] = ssl.create_default_context(cafile=config.ca_certs)


class _OneSend(HTTPConnection):
    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any) -> None:
        """Send a request with a single system call; only a large body has its own."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self.timeout)
        head = _head(method, url, body, {**self._usual_headers(), **(headers or {})})
        if isinstance(body, Pieces):
            self.sock.sendall(head)
            # Not unpacked, which would allocate a list with an entry for each byte: as many as len(body).
            for piece in body:
                self.sock.sendall(piece)
        elif body is None or len(body) <= LEAST_BYTES:
            self.sock.sendall(head + (body or b""))
        else:
            self.sock.sendall(head)
            self.sock.sendall(body)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """Return the answer to the request, with its whole body.

        Raises HTTPException if it isn't HTTP, or is cut off, and OSError.
        """
        self.sock.settimeout(self.timeout)
        answer = HttpAnswer()
        try:
            while not answer.is_whole:
                data = self.sock.recv(_READ_BYTES)
                if not data:
                    answer.end()
                    break
                answer.feed(data)
        finally:
            answer.close()
        if not answer.keeps_alive:
            self.close()
        headers = HTTPHeaderDict()
        for name, value in answer.headers:
            headers.add(name.decode("latin-1"), value.decode("latin-1"))
        body = b"".join(answer.parts)
        # urllib3 decompresses a body only if it is a file, and takes an empty one for none.
        is_file = not body or "content-encoding" in headers
        content = BytesIO(body) if is_file else body
        return HTTPResponse(content, headers, answer.status, version=11, version_string="HTTP/1.1")

    def _usual_headers(self) -> dict[str, str]:
        host = f"[{self.host}]" if ":" in self.host else self.host
        authority = host if self.port == self.default_port else f"{host}:{self.port}"
        return {"host": authority, "accept-encoding": "identity"}


class _OneSendTls(_OneSend, HTTPSConnection):
    pass


def _head(method: str, target: str, body: bytes | Pieces | None, headers: dict[str, str]) -> bytes:
    """Return the head of a request. Raises ValueError if it can't have one of the values."""
    if method not in _PLAIN_METHODS or _NOT_IN_TARGET.search(target):
        raise ValueError("a request's method or target can't be sent")
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers.items():
        if _NOT_IN_HEADER.search(value):
            raise ValueError(f"{name}: a header can't have line breaks")
        lines.append(f"{name}: {value}")
    if body is not None or method != "GET":
        lines.append(f"content-length: {len(body or b'')}")
    return "\r\n".join((*lines, "", "")).encode("latin-1")
