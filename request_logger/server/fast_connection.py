"""Serves connections whose requests are single events, with as few system calls as possible.

Gunicorn's gevent worker spends more per request than this program spends on its event: it reads before data has
arrived, registers the connection with the event loop for each request, and builds a WSGI environment. Here a connection
is registered once, and plain requests are answered directly. The first request that isn't plain, and all after it, are
handed to gunicorn.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol

import gevent
from gunicorn.util import http_date

from request_logger.server.fast_parser import FastParser
from request_logger.server.responses import STATUS, Answer

# Bytes per recv: most requests fit in one.
_READ_BYTES = 64 * 2**10
# libev's flag for "readable".
_READABLE = 1

# Memory for a body that arrives in pieces: the pieces and the body that they are joined to.
_COPIES = 2


class Route(Protocol):
    """Answers plain requests; `request_logger.server.events_route.EventsRoute` implements it."""

    def post(self, headers: Mapping[str, str], raw: bytes) -> Answer:
        """Return the answer to a request."""
        ...

    def reserve(self, size: int) -> Answer | None:
        """Reserve memory for a body (bytes), or return the answer that rejects it."""
        ...

    def release(self, size: int) -> None:
        """Release that memory."""
        ...


class FastConnection:
    """One connection. ``client`` is gevent's socket, ``route`` answers; ``is_open`` is false once the worker stops."""

    def __init__(self, client: Any, route: Route, is_open: Callable[[], bool]) -> None:
        client.setblocking(False)
        self._client = client
        self._route = route
        self._is_open = is_open
        self._hub = gevent.get_hub()
        self._watcher = self._hub.loop.io(client.fileno(), _READABLE)
        self._greenlet: Any = None
        self._arrived = b""
        self._ended = self._is_waiting = self._is_paused = False
        self._reserved = 0
        self.idle_since = time.monotonic()
        """When the last request was answered or the next one began; infinite while one is being answered."""
        self.has_begun = False
        """Whether part of a request has arrived."""

    def serve(self) -> bytes | None:
        """Answer requests; return None when the client closes, or the bytes read of a request that is not plain.

        Raises OSError where an answer can't be sent.
        """
        self._greenlet = gevent.getcurrent()
        reader = FastParser()
        self._watcher.start(self._read)
        try:
            while data := self._wait():
                reader.feed(data)
                if not reader.is_plain:
                    return reader.unread
                if reader.is_whole:
                    self.idle_since = math.inf
                    answer = self._route.post(reader.headers, reader.body)
                    goes_on = reader.keeps_alive and self._is_open()
                    self._send(_as_bytes(answer, goes_on))
                    if not goes_on:
                        break
                    self._release()
                    reader.start()
                    self.has_begun = False
                    self.idle_since = time.monotonic()
                elif not self._goes_on_reading(reader):
                    break
        finally:
            self._release()
            reader.close()
            self._watcher.stop()
            self._watcher.close()
        return None

    def _goes_on_reading(self, reader: FastParser) -> bool:
        """Record that a request has begun to arrive; False (after an answer) if there is no memory for its body."""
        if not self.has_begun:
            # From now on the whole request must arrive within the keep-alive time.
            self.has_begun = True
            self.idle_since = time.monotonic()
        if reader.has_head and not self._reserved:
            size = _COPIES * reader.length
            refusal = self._route.reserve(size)
            if refusal is not None:
                self._send(_as_bytes(refusal, False))
                return False
            self._reserved = size
        return True

    def _release(self) -> None:
        if self._reserved:
            self._route.release(self._reserved)
            self._reserved = 0

    def hang_up(self) -> None:
        """Close the connection. Called by another greenlet while `serve` runs."""
        self._greenlet.kill(block=False)

    def _read(self) -> None:
        """Receive available data. Called by the event loop."""
        if self._arrived:
            # The sender doesn't wait for answers; further data stays in the socket's buffer.
            self._is_paused = True
            self._watcher.stop()
            return
        try:
            self._arrived = self._client.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._arrived = b""
        if not self._arrived:
            self._ended = True
            self._watcher.stop()
        if self._is_waiting:
            self._is_waiting = False
            self._greenlet.switch()

    def _wait(self) -> bytes:
        """Return the next data, waiting for it; empty at the end of the connection."""
        if self._is_paused:
            self._is_paused = False
            self._watcher.start(self._read)
        while not self._arrived and not self._ended:
            self._is_waiting = True
            try:
                self._hub.switch()
            finally:
                self._is_waiting = False
        data, self._arrived = self._arrived, b""
        return data

    def _send(self, data: bytes) -> None:
        try:
            sent = self._client.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._client.setblocking(True)
            self._client.sendall(data[sent:])
            self._client.setblocking(False)


class ReplaySocket:
    """Socket wrapper that replays bytes already read."""

    def __init__(self, client: Any, unread: bytes) -> None:
        self._client = client
        self._unread = unread

    def recv(self, size: int) -> bytes:
        """Receive at most ``size`` bytes."""
        if not self._unread:
            return self._client.recv(size)  # type: ignore[no-any-return]
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def _as_bytes(answer: Answer, goes_on: bool) -> bytes:
    """Return an answer as bytes, with the same headers as gunicorn's."""
    head = _head(answer.status, goes_on, int(time.time()))
    lines = [f"{name}: {value}\r\n" for name, value in answer.headers.items()]
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (head, "".join(lines).encode("latin-1"), len(answer.body), answer.body)


@lru_cache(maxsize=32)
def _head(status: int, goes_on: bool, second: int) -> bytes:
    connection = "keep-alive" if goes_on else "close"
    lines = (
        f"HTTP/1.1 {STATUS[status]}\r\nServer: gunicorn\r\nDate: {http_date(second)}\r\nConnection: {connection}\r\n"
    )
    return lines.encode("latin-1")
