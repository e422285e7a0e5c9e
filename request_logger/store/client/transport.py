"""Connections for the vendors' clients that send the head and the body of a request together.

urllib3 sends them with two system calls, each of which wakes the search engine's process: a third of the logger's cost
of a small _bulk.
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
        """Send a request as urllib3 does, but with a single system call."""
        self._held = []
        try:
            super().request(*args, **options)
            whole = b"".join(self._held)
        finally:
            self._held = None
        super().send(whole)

    def send(self, data: Any) -> None:
        """Send bytes; those of a request are held until it is complete."""
        if self._held is None or not isinstance(data, bytes):
            super().send(data)
        else:
            self._held.append(data)


class _OneSendTls(_OneSend, HTTPSConnection):
    pass


def _made_one(pool: HTTPConnectionPool) -> None:
    pool.ConnectionCls = _OneSendTls if pool.scheme == "https" else _OneSend


class OpenSearchConnection(opensearchpy.Urllib3HttpConnection):
    """The connection class for opensearch-py."""

    def _create_urllib3_pool(self) -> None:
        super()._create_urllib3_pool()
        _made_one(self.pool)


class ElasticNode(elastic_transport.Urllib3HttpNode):
    """The node class for elasticsearch."""

    def __init__(self, config: elastic_transport.NodeConfig) -> None:
        super().__init__(config)
        _made_one(self.pool)
