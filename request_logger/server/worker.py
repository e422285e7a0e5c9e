"""Gunicorn's gevent worker, which always accepts and stops in time.

Gunicorn's own worker accepts no more once a number of connections is open, idle ones included: a flood of them, or one
sender that leaks them, keeps the probes out, and the pod is restarted for it. Here a new connection takes the place of
the one that has been idle for longest.
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

# Of all connections; closing one by one would look at all others each time.
_CLOSED_AT_ONCE = 0.01
_ACCEPTED_AT_ONCE = 10
_LOOK_SECONDS = 0.1
# How long a sender may pause within a body, or within reading an answer.
_PAUSE_SECONDS = 30.0


class Worker(GeventWorker):  # type: ignore[misc]
    """At its stop an idle connection is closed at once, and one with a request half read has the time of the grace."""

    def init_process(self) -> None:
        """Start, as gunicorn's does."""
        self._idle: dict[Any, _Wait] = {}
        self._open = 0
        self._most = most_connections()
        super().init_process()

    def run(self) -> None:
        """Serve, as gunicorn's does."""
        # Else a single worker accepts 100 in a row, faster than it could close others for them.
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
        """Return since when each idle connection has been so (or has sent parts of a request), and what ends it."""
        return [(wait.since, wait.end) for wait in self._idle.values()]

    def end_idle(self) -> None:
        """Close the connections that have no more time; this is called several times a second."""
        if not self.alive:
            for wait in list(self._idle.values()):
                wait.end()

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        """Answer a request, as gunicorn does, of a sender that doesn't pause for long within its body."""
        sock.settimeout(_PAUSE_SECONDS)
        try:
            answered = super().handle_request(listener_name, req, sock, addr)
        except TimeoutError as error:
            # Gunicorn would log a traceback for each.
            raise ConnectionResetError(errno.ECONNRESET, "the other side reads no answer") from error
        sock.settimeout(None)
        return answered

    def timeout_ctx(self) -> gevent.Timeout:
        """Return what surrounds the wait for a connection's next request: its head is to be there by the end."""
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
    """The name of a listening socket, of which gunicorn asks also after a stop has closed it."""

    def __init__(self, name: Any) -> None:
        self._name = name

    def getsockname(self) -> Any:
        """Return what the socket's own method returned."""
        return self._name


class _Wait(gevent.Timeout):  # type: ignore[misc]
    """A silent timeout that notes who waits, and since when."""

    def __init__(self, idle: dict[Any, _Wait], seconds: float) -> None:
        super().__init__(seconds, False)
        self._idle = idle
        self._greenlet: Any = None
        self.since = time.monotonic()

    def end(self) -> None:
        """End the wait as if the time were over."""
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
