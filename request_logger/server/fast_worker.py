"""The worker with the fast path: it answers plain events itself and leaves all else to gunicorn's way (FAST_HTTP)."""

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
    """At its stop an idle connection is closed at once, and one with a request half read has the time of the grace."""

    def init_process(self) -> None:
        """Start, as gunicorn's does."""
        self._connections: set[FastConnection] = set()
        super().init_process()

    def serve(self, listener: Any, client: Any, addr: Any) -> None:
        """Answer plain events, and from the first request that is none on all as gunicorn does."""
        # Not before gevent has patched what this imports: see `patch`.
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
        """Return since when each idle connection has been so (or has sent parts of a request), and what ends it."""
        return super().idle_connections() + [
            (connection.idle_since, partial(self._end, connection))
            for connection in self._connections
            if connection.idle_since < float("inf")
        ]

    def end_idle(self) -> None:
        """Close the connections that have no more time; this is called several times a second."""
        super().end_idle()
        now = time.monotonic()
        for connection in list(self._connections):
            # While a request is answered, the time is infinite.
            is_late = connection.idle_since < now - self.cfg.keepalive
            is_idle = connection.idle_since <= now and not connection.has_begun
            if is_late or (is_idle and not self.alive):
                connection.hang_up()

    def _end(self, connection: FastConnection) -> None:
        # It ends later, and another new connection must not find it again.
        self._connections.discard(connection)
        connection.hang_up()
