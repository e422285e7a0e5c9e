"""One connection to FORWARD_URL, for one thread: a request is one system call, and of its answer only the head counts.

urllib3 takes 0.2 ms of CPU per small request, http.client 0.1 ms, and this 0.03 ms: the process answers the logger's
own events meanwhile.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Mapping
from http.client import HTTPException

from request_logger.common.http_answer import HttpAnswer

# More of an answer is not read: the connection is closed instead.
_MOST_ANSWER_BYTES = 64 * 2**10
_CONNECT_SECONDS = 5.0
_RETRY_AFTER = b"retry-after"


class Connection:
    """A connection to a host that is opened when it is needed, and used again while the host keeps it open."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, timeout: float) -> None:
        """``timeout``: how long an answer may take, from the first byte of the request on (seconds)."""
        self._host = host
        self._port = port
        self._tls = tls
        self._timeout = timeout
        self._socket: socket.socket | None = None

    def send(self, head: bytes, body: bytes) -> tuple[int, str | None]:
        """Send a request; return its status, and of a failure Retry-After, too. Raises OSError and HTTPException."""
        connection = self._open()
        until = time.monotonic() + self._timeout
        answer, size = HttpAnswer(), 0
        try:
            connection.settimeout(self._timeout)
            connection.sendall(head + body)
            while not answer.is_whole and size <= _MOST_ANSWER_BYTES:
                connection.settimeout(max(until - time.monotonic(), 0.001))
                data = connection.recv(_MOST_ANSWER_BYTES)
                if not data:
                    break
                size += len(data)
                answer.feed(data)
        except Exception:
            # Once it has a status, the receiver has the event, whatever becomes of the rest of its answer.
            if not answer.has_head:
                self.close()
                raise
        finally:
            answer.close()
        if not answer.keeps_alive:
            self.close()
        if not answer.has_head:
            raise HTTPException("no HTTP answer")
        headers = answer.headers if answer.status >= 300 else ()
        waits = [value.decode("latin-1") for name, value in headers if name.lower() == _RETRY_AFTER]
        return answer.status, waits[-1] if waits else None

    def close(self) -> None:
        """Close it; the next request opens another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self) -> socket.socket:
        """Return the open connection. One that the host has closed meanwhile, or written to unasked, is replaced."""
        if self._socket is not None:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            if not poll.poll(0):
                return self._socket
            self.close()
        made = socket.create_connection((self._host, self._port), min(_CONNECT_SECONDS, self._timeout))
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = made if self._tls is None else self._tls.wrap_socket(made, server_hostname=self._host)
        except Exception:
            made.close()
            raise
        return self._socket


def head_of(target: str, authority: str, headers: Mapping[str, str], length: int) -> bytes:
    """Return the head of a POST. Raises ValueError for a header that can't be sent.

    ``target`` and ``authority`` are ASCII.
    """
    lines = [f"POST {target} HTTP/1.1", f"host: {authority}", f"content-length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    text = "\r\n".join((*lines, "", ""))
    # Whatever a name or a value has in it, the head has as many lines as headers.
    if not text.count("\r") == text.count("\n") == len(lines) + 1 or "\0" in text:
        raise ValueError("a header can't have line breaks")
    return text.encode("latin-1")
