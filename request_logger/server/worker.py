"""Gunicorn's gevent worker, which always accepts and stops in time.

Gunicorn's own worker stops accepting at its connection limit, idle connections included: a flood of them, or one sender
that leaks them, locks out the probes, and the pod is restarted. Here a new connection replaces the one that has been
idle the longest.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.server import StreamServer
from gunicorn.workers.ggevent import GeventWorker

from request_logger.server.connection_limit import most_connections

# The share of connections closed at a time: closing them one by one would sort all of them each time.
_CLOSED_AT_ONCE = 0.01
_ACCEPTED_AT_ONCE = 10
# How often idle connections are checked; a stop closes them after at most this time.
_LOOK_SECONDS = 0.1
# How long (seconds) a sender may pause within a body, or while reading an answer.
_PAUSE_SECONDS = 30.0


class Worker(GeventWorker):  # type: ignore[misc]
    """A worker that on stop closes idle connections at once, and gives half-read requests the grace period."""

    def init_process(self) -> None:
        """Initialise the worker, as gunicorn's does."""
        self._idle: dict[Any, _Wait] = {}
        self._open = 0
        self._most = most_connections()
        super().init_process()

    def run(self) -> None:
        """Serve until stopped, as gunicorn's does."""
        # By default a single worker accepts 100 in a row, faster than it could close others to make room.
        StreamServer.max_accept = _ACCEPTED_AT_ONCE
        self._listeners = {id(listener): _Listener(listener.getsockname()) for listener in self.sockets}
        gevent.spawn(self._hang_up)
        super().run()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection."""
        if self._open >= self._most:
            self._make_room()
        self._open += 1
        try:
            self.serve(self._listeners[id(listener)], client, addr)
        finally:
            self._open -= 1

    def serve(self, listener: Any, client: Any, addr: Any) -> None:
        """Answer the requests of a connection, as gunicorn does."""
        super().handle(listener, client, addr)

    def idle_connections(self) -> list[tuple[float, Callable[[], None]]]:
        """Return per idle connection when it became idle or began a request, and the function that closes it."""
        return [(wait.since, wait.end) for wait in self._idle.values()]

    def end_idle(self) -> None:
        """Close the connections whose time is over. Called several times per second."""
        if not self.alive:
            for wait in list(self._idle.values()):
                wait.end()

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        """Answer a request as gunicorn does, but drop a sender that pauses too long within its body."""
        sock.settimeout(_PAUSE_SECONDS)
        try:
            answered = super().handle_request(listener_name, req, sock, addr)
        except TimeoutError as error:
            # For a TimeoutError gunicorn would log a traceback.
            raise ConnectionResetError(errno.ECONNRESET, "the other side reads no answer") from error
        sock.settimeout(None)
        return answered

    def timeout_ctx(self) -> gevent.Timeout:
        """Return the timeout of the wait for a connection's next request, whose head must arrive within it."""
        return _Wait(self._idle, self.cfg.keepalive)

    def _make_room(self) -> None:
        """Close those connections that have been idle for longest."""
        idle = sorted(self.idle_connections(), key=lambda connection: connection[0])
        for _, end in idle[: max(int(self._most * _CLOSED_AT_ONCE), 1)]:
            end()

    def _hang_up(self) -> None:
        while True:
            gevent.sleep(_LOOK_SECONDS)
            self.end_idle()


class _Listener:
    """The address of a listening socket; gunicorn asks for it even after a stop has closed the socket."""

    def __init__(self, name: Any) -> None:
        self._name = name

    def getsockname(self) -> Any:
        """Return the address that the socket had."""
        return self._name


class _Wait(gevent.Timeout):  # type: ignore[misc]
    """A silent timeout that records the waiting greenlet and its start."""

    def __init__(self, idle: dict[Any, _Wait], seconds: float) -> None:
        super().__init__(seconds, False)
        self._idle = idle
        self._greenlet: Any = None
        self.since = time.monotonic()

    def end(self) -> None:
        """End the wait as if it had timed out."""
        self._idle.pop(self._greenlet, None)
        self._greenlet.kill(self, block=False)

    def __enter__(self) -> _Wait:
        self._greenlet = gevent.getcurrent()
        self._idle[self._greenlet] = self
        super().__enter__()
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> Any:
        self._idle.pop(gevent.getcurrent(), None)
        return super().__exit__(kind, value, trace)
