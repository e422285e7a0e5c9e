"""Something else answers in the engine's place for a while: events get 503, and 200 when the engine is back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.store.proxy import Proxy

pytestmark = pytest.mark.engine

PAGE = b"<html>It works</html>"
BODIES: list[tuple[int, dict[str, str], bytes]] = [
    (200, {"Content-Type": "text/html"}, PAGE),
    (403, {"Content-Type": "text/html"}, PAGE),
    (404, {"Content-Type": "text/html"}, PAGE),
    (200, {"Content-Type": "application/json"}, PAGE),
    (200, {"Content-Type": "application/json"}, b"[1]"),
    (200, {"Content-Type": "application/json"}, b"null"),
    (200, {"Content-Type": "application/json"}, b""),
    (200, {"Content-Type": "application/json"}, b'{"acknowledged": tr'),
    (200, {"Content-Type": "application/json"}, b'{"a": "\xff"}'),
    (200, {"Content-Type": "application/json"}, b'{"a": %s}' % (b"9" * 5000)),
    (204, {}, b""),
    (302, {"Location": "/login"}, b""),
]
STEPS: dict[str, Callable[[str, str], bool]] = {
    "mapping": lambda method, path: path.endswith("/_mapping") and method == "GET",
    "creation": lambda method, path: method == "PUT" and path.count("/") == 1,
    "aliases": lambda method, path: path.split("?")[0].endswith("/_alias"),
}


@pytest.fixture(scope="module")
def proxy(engine: Any) -> Iterator[Proxy]:
    with Proxy(engine.url) as started:
        yield started


@pytest.fixture(scope="module")
def behind(proxy: Proxy, make_server: Callable[..., Server]) -> Iterator[Server]:
    """A server whose templates were answered with a page at first."""
    proxy.instead = lambda method, path: BODIES[0] if path.startswith("/_index_template") else None
    server = make_server(
        f"http://127.0.0.1:{proxy.port}", GUNICORN_WORKERS="1", STORE_TIMEOUT_SECONDS="1", INDEX_PERIOD="month"
    )
    yield server
    server.stop()


def post(server: Server, deployment: str, request_id: str) -> int:
    sender = Sender(server.url)
    try:
        return sender.send(event("request", request_id, deployment), ndarray([[1]], ["age"]))[0]
    finally:
        sender.close()


def is_taken(server: Server, deployment: str, request_id: str) -> bool:
    """Send an event again until it is taken: the writer tries an engine that failed after 2 s at most."""
    deadline = time.monotonic() + 60
    while post(server, deployment, request_id) != 200:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def test_templates_first(proxy: Proxy, behind: Server, deployment: str, index: Index) -> None:
    """No index is created without them."""
    assert post(behind, deployment, "r1") == 503
    assert index.documents(f"{index_of(deployment)}*") == {}
    proxy.instead = lambda method, path: None
    assert is_taken(behind, deployment, "r1")
    assert len(index.documents(f"{index_of(deployment)}*")) == 1


# Of each kind one for each step: all of them are in test_vendor_clients, without an engine.
@pytest.mark.parametrize(
    ("step", "body"), [(step, number) for number in range(len(BODIES)) for step in [list(STEPS)[number % 3]]]
)
def test_garbage_is_no_answer(
    proxy: Proxy, behind: Server, deployment: str, index: Index, step: str, body: int
) -> None:
    """503 while it lasts, 200 afterwards, and one document: no thread of the writer has ended."""
    status, headers, raw = BODIES[body]
    # Elastic's client refuses an answer without the name of its product: with it, all of it is read.
    named = requests.get(index.url, timeout=10).headers.get("X-elastic-product")
    headers = headers | ({"X-elastic-product": named} if named else {})
    proxy.instead = lambda method, path: (status, headers, raw) if STEPS[step](method, path) else None
    first = post(behind, deployment, "r1")
    proxy.instead = lambda method, path: None
    assert first == 503
    assert is_taken(behind, deployment, "r1")
    ((_, document),) = index.documents(f"{index_of(deployment)}*").items()
    assert document["request"]["elements"] == {"age": 1.0}


def test_health(proxy: Proxy, behind: Server) -> None:
    """Ready only where an engine says so; alive in any case."""
    for body in BODIES:
        proxy.instead = lambda method, path, body=body: body if path.startswith("/_cluster") else None  # type: ignore[misc]
        assert requests.get(f"{behind.url}/readyz", timeout=10).status_code == 503
        assert requests.get(f"{behind.url}/healthz", timeout=10).status_code == 200
    proxy.instead = lambda method, path: None
    assert requests.get(f"{behind.url}/readyz", timeout=10).status_code == 200
    assert json.dumps(PAGE.decode()) not in behind.log.read_text()
