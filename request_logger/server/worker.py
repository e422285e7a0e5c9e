"""Gunicorn's gevent worker with the fast path for plain events; it always accepts, and stops in time.

Gunicorn's own worker stops accepting at its connection limit, idle connections included: a flood of them, or one sender
that leaks them, locks out the probes, and the pod is restarted. Here a new connection replaces the one that has been
idle the longest.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import gevent
from gevent.server import StreamServer
from gunicorn.util import close
from gunicorn.workers.ggevent import GeventWorker

from request_logger.server.connection_limit import most_connections

if TYPE_CHECKING:
    from request_logger.server.fast_connection import FastConnection

# The share of connections closed at a time: closing them one by one would sort all of them each time.
_CLOSED_AT_ONCE = 0.01
_ACCEPTED_AT_ONCE = 10
# How often idle connections are checked; a stop closes them after at most this time.
_LOOK_SECONDS = 0.1
# How long (seconds) a sender may pause within a body, or while reading an answer.
_PAUSE_SECONDS = 30.0
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)


class Worker(GeventWorker):  # type: ignore[misc]
    """A worker that on stop closes idle connections at once, and gives half-read requests the grace period."""

    def init_process(self) -> None:
        """Initialise the worker, as gunicorn's does."""
        self._connections: set[FastConnection] = set()
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
        """Serve a connection: plain events on the fast path, everything else with gunicorn."""
        # Imported only after gevent has patched the standard library: see `patch`.
        from request_logger.server.fast_connection import FastConnection, ReplaySocket  # noqa: PLC0415

        if self._open >= self._most:
            self._make_room()
        unread = None
        connection = FastConnection(client, self.wsgi.wsgi_app, lambda: self.alive)
        self._connections.add(connection)
        self._open += 1
        try:
            try:
                unread = connection.serve()
            except OSError as error:
                if error.errno not in _GONE:
                    raise
            finally:
                self._connections.discard(connection)
                if unread is None:
                    close(client)
            if unread is not None:
                super().handle(self._listeners[id(listener)], ReplaySocket(client, unread), addr)
        finally:
            self._open -= 1

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
        """Close the connections that have been idle, or have been sending a request, the longest."""
        candidates: list[tuple[float, Callable[[], None]]] = [
            (connection.idle_since, partial(self._end, connection))
            for connection in self._connections
            if connection.idle_since < float("inf")
        ]
        candidates += [(wait.since, wait.end) for wait in self._idle.values()]
        candidates.sort(key=lambda candidate: candidate[0])
        for _, end in candidates[: max(int(self._most * _CLOSED_AT_ONCE), 1)]:
            end()

    def _end(self, connection: FastConnection) -> None:
        # It ends later; the next new connection must not choose it again.
        self._connections.discard(connection)
        connection.hang_up()

    def _hang_up(self) -> None:
        while True:
            gevent.sleep(_LOOK_SECONDS)
            if not self.alive:
                for wait in list(self._idle.values()):
                    wait.end()
            now = time.monotonic()
            for connection in list(self._connections):
                # `idle_since` is infinite while a request is being answered.
                is_late = connection.idle_since < now - self.cfg.keepalive
                is_idle = connection.idle_since <= now and not connection.has_begun
                if is_late or (is_idle and not self.alive):
                    connection.hang_up()


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
