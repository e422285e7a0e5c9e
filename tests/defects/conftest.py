"""Servers for the tests of the defects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.faults.proxy import FaultProxy
from tests.defects.helpers import LETTERS
from tests.helpers import Index, Server, index_of


@pytest.fixture
def tidy(index: Index, deployment: str) -> Iterator[None]:
    """Remove the test's indices at its end: some hold what a reader of all of them can't parse."""
    yield
    start = index_of(deployment).removesuffix("-default")
    index.drop(f"{start}*")
    index.refresh()
    # An engine without delete-by-query answers 400 or 405, and keeps them.
    index.request("POST", f"/{LETTERS}/_delete_by_query", {"query": {"prefix": {"index": start}}}, conflicts="proceed")


@pytest.fixture(scope="module")
def one(make_server: Callable[..., Server]) -> Iterator[Server]:
    """A server with one worker, so that what stops a worker stops all."""
    server = make_server(GUNICORN_WORKERS="1")
    yield server
    server.stop()


@pytest.fixture
def proxied(engine: Any, make_server: Callable[..., Server]) -> Iterator[Callable[..., tuple[FaultProxy, Server]]]:
    """Start a server behind its own proxy."""
    with FaultProxy(engine.url) as proxy:
        servers: list[Server] = []

        def make(**env: str) -> tuple[FaultProxy, Server]:
            servers.append(make_server(proxy.url, **{"GUNICORN_WORKERS": "1", **env}))
            return proxy, servers[-1]

        yield make
        proxy.rule = None
        for server in servers:
            server.stop()


@pytest.fixture(scope="module")
def garbled(engine: Any, make_server: Callable[..., Server]) -> Iterator[tuple[FaultProxy, Server]]:
    """A server behind a proxy, for the module."""
    with FaultProxy(engine.url) as proxy:
        server = make_server(proxy.url, GUNICORN_WORKERS="1")
        yield proxy, server
        server.stop()
