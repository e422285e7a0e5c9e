"""The gevent worker with the fast path (FAST_HTTP): it answers plain events itself and hands the rest to gunicorn."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.util import close

from request_logger.server.worker import Worker

if TYPE_CHECKING:
    from request_logger.server.fast_connection import FastConnection

_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)


class FastWorker(Worker):
    """A worker that answers plain events on the fast path; idle fast connections are closed at once on stop."""

    def init_process(self) -> None:
        """Initialise the worker, as gunicorn's does."""
        self._connections: set[FastConnection] = set()
        super().init_process()

    def serve(self, listener: Any, client: Any, addr: Any) -> None:
        """Answer plain events; from the first other request on, gunicorn answers the connection."""
        # Imported only after gevent has patched the standard library: see `patch`.
        from request_logger.server.fast_connection import FastConnection, ReplaySocket  # noqa: PLC0415

        unread = None
        connection = FastConnection(client, self.wsgi.wsgi_app, lambda: self.alive)
        self._connections.add(connection)
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
            super().serve(listener, ReplaySocket(client, unread), addr)

    def idle_connections(self) -> list[tuple[float, Callable[[], None]]]:
        """Return per idle connection when it became idle or began a request, and the function that closes it."""
        return super().idle_connections() + [
            (connection.idle_since, partial(self._end, connection))
            for connection in self._connections
            if connection.idle_since < float("inf")
        ]

    def end_idle(self) -> None:
        """Close the connections whose time is over. Called several times per second."""
        super().end_idle()
        now = time.monotonic()
        for connection in list(self._connections):
            # `idle_since` is infinite while a request is being answered.
            is_late = connection.idle_since < now - self.cfg.keepalive
            is_idle = connection.idle_since <= now and not connection.has_begun
            if is_late or (is_idle and not self.alive):
                connection.hang_up()

    def _end(self, connection: FastConnection) -> None:
        # It ends later; the next new connection must not choose it again.
        self._connections.discard(connection)
        connection.hang_up()
