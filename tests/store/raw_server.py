"""A server that answers each request with bytes as they are given: what no web server would send."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Answer = Callable[[str, str], bytes]
"""(method, path) -> all bytes of the answer; the connection is closed after them."""


def http(
    body: bytes | str, status: str = "200 OK", content_type: str | None = "application/json", **headers: str
) -> bytes:
    """An HTTP answer; ``_`` in the name of a header is ``-``."""
    raw = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(raw)}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"content-type: {content_type}"] if content_type else []
    return "\r\n".join([*lines, "", ""]).encode() + raw


class RawServer:
    """Listens on a free port of this machine until it is closed."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.seen: list[tuple[str, str]] = []
        self.agent = ""
        """The user agent of the last request."""
        self._open = True
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open = False
        # Wakes accept(), which close() alone doesn't.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while self._open:
            try:
                connection, _ = self._socket.accept()
                connection.settimeout(1)
                with connection, connection.makefile("rb") as reader:
                    self._answer(connection, reader)
            except OSError:
                # A client that went away, or did not trust a certificate.
                continue

    def _answer(self, connection: socket.socket, reader: socket.SocketIO) -> None:
        words = reader.readline().split()
        if len(words) < 2:
            return
        length = 0
        while line := reader.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            if name.lower() == b"user-agent":
                self.agent = value.strip().decode()
        reader.read(length)
        method, path = words[0].decode(), words[1].decode().partition("?")[0]
        self.seen.append((method, path))
        connection.sendall(self.answer(method, path))
