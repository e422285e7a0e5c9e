"""The addresses that are listened on: by default all, of both kinds; for probes of `consume`, too."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
import requests
from prometheus_client import CollectorRegistry

from request_logger.common.listen_addresses import addresses, with_port
from request_logger.ingest.access import Access
from request_logger.kafka.probes import Probes
from request_logger.settings import Settings
from tests.helpers import Server, free_port

HAS_IPV6 = addresses("") != ["0.0.0.0"]
LOOPBACKS = ["127.0.0.1", "[::1]"] if HAS_IPV6 else ["127.0.0.1"]


class _Socket:
    """A system's socket of IPv6."""

    only_ipv6 = 0
    fails = False

    def __init__(self, *_: object) -> None: ...
    def __enter__(self) -> _Socket:
        return self

    def __exit__(self, *_: object) -> None: ...
    def bind(self, _: object) -> None:
        if self.fails:
            raise OSError("no such address")

    def getsockopt(self, *_: object) -> int:
        return self.only_ipv6


def test_what_is_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """One address where it takes both kinds, two where it doesn't, IPv4 without IPv6; what HOST says, if anything."""
    monkeypatch.setattr(socket, "socket", _Socket)
    assert addresses("") == ["::"]
    monkeypatch.setattr(_Socket, "only_ipv6", 1)
    assert addresses("") == ["0.0.0.0", "::"]
    monkeypatch.setattr(_Socket, "fails", True)
    assert addresses("") == ["0.0.0.0"]
    assert addresses("10.1.2.3") == ["10.1.2.3"]
    assert addresses("[fd00::1]") == addresses("fd00::1") == ["fd00::1"]
    assert [with_port(name, 80) for name in ("10.1.2.3", "fd00::1")] == ["10.1.2.3:80", "[fd00::1]:80"]


@pytest.mark.engine
def test_the_server_answers_on_both(server: Server) -> None:
    """By default."""
    for host in LOOPBACKS:
        assert requests.get(f"http://{host}:{server.port}/healthz", timeout=10).status_code == 200


@pytest.mark.engine
@pytest.mark.skipif(not HAS_IPV6, reason="there is no IPv6 here, so no second address")
def test_the_server_answers_on_one(make_server: Callable[..., Server]) -> None:
    """Where HOST says which."""
    server = make_server(HOST="127.0.0.1", GUNICORN_WORKERS="1")
    for host in LOOPBACKS[1:]:
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://{host}:{server.port}/healthz", timeout=10)
    server.stop()


@pytest.mark.parametrize("host", ["", "127.0.0.1", *(["::1"] if HAS_IPV6 else [])])
def test_probes(host: str) -> None:
    """The same for the probes of `consume`."""
    port = free_port()
    probes = Probes(
        port, CollectorRegistry(), Access(Settings()), alive=lambda: None, ready=lambda: "not yet", host=host
    )
    for name in LOOPBACKS if not host else [with_port(host, port).rpartition(":")[0]]:
        assert requests.get(f"http://{name}:{port}/healthz", timeout=10).status_code == 200
        assert requests.get(f"http://{name}:{port}/readyz", timeout=10).status_code == 503
    probes.close()
    for name in LOOPBACKS:
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://{name}:{port}/healthz", timeout=10)
