"""One connection to FORWARD_URL, for one thread: a request is one system call, and its answer is not kept.

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

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

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
        """Send a request; return its answer's status and Retry-After. Raises OSError and HTTPException."""
        connection = self._open()
        until = time.monotonic() + self._timeout
        answer = _Answer()
        try:
            connection.settimeout(self._timeout)
            connection.sendall(head + body)
            while not answer.is_whole and answer.size <= _MOST_ANSWER_BYTES:
                connection.settimeout(max(until - time.monotonic(), 0.001))
                data = connection.recv(_MOST_ANSWER_BYTES)
                if not data:
                    answer.keeps_alive = False
                    break
                answer.feed(data)
        except Exception:
            # Once it has a status, the receiver has the event, whatever becomes of the rest of its answer.
            answer.keeps_alive = False
            if not answer.has_head:
                self.close()
                raise
        finally:
            answer.close()
        if not (answer.is_whole and answer.keeps_alive):
            self.close()
        if not answer.has_head:
            raise HTTPException("no HTTP answer")
        return answer.status, answer.retry_after

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


class _Answer:
    """Parses an answer up to its end, or to that of its head."""

    def __init__(self) -> None:
        self.status = 0
        self.retry_after: str | None = None
        self.size = 0
        self.has_head = self.is_whole = False
        self.keeps_alive = True
        self._parser = HttpResponseParser(self)

    def close(self) -> None:
        """Break the reference cycle with the parser."""
        del self._parser

    def feed(self, data: bytes) -> None:
        """Parse more bytes. Raises HTTPException if they aren't HTTP."""
        self.size += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.keeps_alive = False
            if not self.has_head:
                raise HTTPException(f"no HTTP answer ({type(error).__name__})") from None

    # Callbacks of the parser.

    def on_message_begin(self) -> None:
        """Called at the start of an answer; one that follows the whole one belongs to no request."""
        self.keeps_alive = not self.is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called with one header."""
        if name.lower() == _RETRY_AFTER and not self.is_whole:
            self.retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Called after the last header; a provisional answer (status 1xx) is followed by the final one."""
        status = self._parser.get_status_code()
        if status >= 200 and not self.is_whole:
            self.has_head, self.status = True, status

    def on_message_complete(self) -> None:
        """Called after the last byte of an answer."""
        if self.has_head and not self.is_whole:
            self.is_whole = True
            self.keeps_alive = self._parser.should_keep_alive()
