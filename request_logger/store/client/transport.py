"""The vendors' clients over connections that send a request's head and body together.

urllib3 sends them with two system calls, each of which wakes the engine: of a small _bulk that was a third of what it
costs the logger.
"""

from __future__ import annotations

from typing import Any

import elastic_transport
import opensearchpy
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class _OneSend(HTTPConnection):
    _held: list[bytes] | None = None

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request, as urllib3 does."""
        self._held = []
        try:
            super().request(*args, **options)
            whole = b"".join(self._held)
        finally:
            self._held = None
        super().send(whole)

    def send(self, data: Any) -> None:
        """Send some bytes; a request's own wait for its last."""
        if self._held is None or not isinstance(data, bytes):
            super().send(data)
        else:
            self._held.append(data)


class _OneSendTls(_OneSend, HTTPSConnection):
    pass


def _made_one(pool: HTTPConnectionPool) -> None:
    pool.ConnectionCls = _OneSendTls if pool.scheme == "https" else _OneSend


class OpenSearchConnection(opensearchpy.Urllib3HttpConnection):
    """Of opensearch-py."""

    def _create_urllib3_pool(self) -> None:
        super()._create_urllib3_pool()
        _made_one(self.pool)


class ElasticNode(elastic_transport.Urllib3HttpNode):
    """Of elasticsearch."""

    def __init__(self, config: elastic_transport.NodeConfig) -> None:
        super().__init__(config)
        _made_one(self.pool)
