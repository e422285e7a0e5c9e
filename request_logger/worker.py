"""Gunicorn's gevent worker, which also stops while senders keep their connections open."""

from __future__ import annotations

from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

_LOOK_SECONDS = 0.1


class Worker(GeventWorker):  # type: ignore[misc]
    """At its stop an idle connection is closed at once; gunicorn's own worker would wait for it."""

    def init_process(self) -> None:
        """Start, as gunicorn's does."""
        self._idle: dict[Any, gevent.Timeout] = {}
        super().init_process()

    def run(self) -> None:
        """Serve, as gunicorn's does."""
        gevent.spawn(self._hang_up)
        super().run()

    def timeout_ctx(self) -> gevent.Timeout:
        """Give what surrounds the wait for a connection's next request."""
        return _Wait(self._idle, self.cfg.keepalive)

    def _hang_up(self) -> None:
        while True:
            gevent.sleep(_LOOK_SECONDS)
            if not self.alive:
                for greenlet, wait in list(self._idle.items()):
                    greenlet.kill(wait, block=False)


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
