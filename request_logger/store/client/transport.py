"""Connections that send the head and the body of a request together, and trust only the configured CA.

urllib3 sends them with two system calls, each of which wakes the search engine's process: a third of the logger's cost
of a small _bulk. `elastic_transport` takes the class of a node, and urllib3 the class of a pool's connections: both are
public.
"""

from __future__ import annotations

import ssl
from typing import Any

import elastic_transport
from urllib3.connection import HTTPConnection, HTTPSConnection


class OneSendNode(elastic_transport.Urllib3HttpNode):
    """A host of the engine: its connections send each request at once; with ``ca_certs`` they trust that file alone."""

    def __init__(self, config: elastic_transport.NodeConfig) -> None:
        super().__init__(config)
        self.pool.ConnectionCls = _OneSendTls if self.pool.scheme == "https" else _OneSend
        if config.ca_certs:
            # The node's own context trusts the system's CAs as well.
            self.pool.conn_kw["ssl_context"] = ssl.create_default_context(cafile=config.ca_certs)


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
