"""Gunicorn's gevent worker, with a shorter way for plain events; it stops while senders keep connections open."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Any

import gevent
from gunicorn.util import close
from gunicorn.workers.ggevent import GeventWorker

if TYPE_CHECKING:
    from request_logger.connection import Connection

_LOOK_SECONDS = 0.1
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)


class Worker(GeventWorker):  # type: ignore[misc]
    """At its stop an idle connection is closed at once; gunicorn's own worker would wait for it."""

    def init_process(self) -> None:
        """Start, as gunicorn's does."""
        self._connections: set[Connection] = set()
        self._idle: dict[Any, gevent.Timeout] = {}
        super().init_process()

    def run(self) -> None:
        """Serve, as gunicorn's does."""
        gevent.spawn(self._hang_up)
        super().run()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection: plain events here, all else as gunicorn does."""
        # Not before gevent has patched what this imports: see `patch`.
        from request_logger.connection import Connection, Reread  # noqa: PLC0415

        unread = None
        connection = Connection(client, self.wsgi.wsgi_app.post, lambda: self.alive)
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
            super().handle(listener, Reread(client, unread), addr)

    def timeout_ctx(self) -> gevent.Timeout:
        """Give what surrounds the wait for a connection's next request."""
        return _Wait(self._idle, self.cfg.keepalive)

    def _hang_up(self) -> None:
        while True:
            gevent.sleep(_LOOK_SECONDS)
            if not self.alive:
                for greenlet, wait in list(self._idle.items()):
                    greenlet.kill(wait, block=False)
            latest = time.monotonic() - (self.cfg.keepalive if self.alive else 0)
            for connection in [each for each in self._connections if each.idle_since < latest]:
                connection.hang_up()


class _Wait(gevent.Timeout):  # type: ignore[misc]
    """A silent timeout that notes who waits."""

    def __init__(self, idle: dict[Any, gevent.Timeout], seconds: float) -> None:
        super().__init__(seconds, False)
        self._idle = idle

    def __enter__(self) -> _Wait:
        self._idle[gevent.getcurrent()] = self
        super().__enter__()
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> Any:
        self._idle.pop(gevent.getcurrent(), None)
        return super().__exit__(kind, value, trace)
