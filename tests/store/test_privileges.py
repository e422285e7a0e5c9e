"""A user who may do less than docs/kubernetes.md asks for: what it may is done, and what is missing is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.store.proxy import Proxy

pytestmark = pytest.mark.engine

ACTIONS: dict[str, Callable[[str, str], bool]] = {
    "indices:admin/index_template/put": lambda method, path: path.startswith("/_index_template"),
    "indices:admin/create": lambda method, path: method == "PUT" and path.count("/") == 1,
    "indices:admin/mappings/get": lambda method, path: path.endswith("/_mapping"),
    "indices:admin/aliases/get": lambda method, path: "/_alias" in path,
    "cluster:monitor/health": lambda method, path: path.startswith("/_cluster"),
    "cluster:monitor/main": lambda method, path: path == "/",
}


def refusal(action: str) -> tuple[int, dict[str, str], bytes]:
    """What OpenSearch's security plugin answers."""
    reason = f"no permissions for [{action}] and User [name=writer, backend_roles=[], requestedTenant=null]"
    cause = {"type": "security_exception", "reason": reason}
    body = {"error": {"root_cause": [cause], **cause}, "status": 403}
    return 403, {"Content-Type": "application/json"}, json.dumps(body).encode()


def test_a_user_who_may_only_write(
    engine: Any, make_server: Callable[..., Server], deployment: str, index: Index
) -> None:
    """Events are stored and scored, the server is ready, and each missing privilege is one line."""
    with Proxy(engine.url) as proxy:
        proxy.instead = lambda method, path: next(
            (refusal(action) for action, is_it in ACTIONS.items() if is_it(method, path)), None
        )
        server = make_server(f"http://127.0.0.1:{proxy.port}", GUNICORN_WORKERS="1")
        sender = Sender(server.url)
        assert sender.send(event("response", "r1", deployment), ndarray([[0.2, 0.8]]))[0] == 200
        assert sender.send(event("feedback", "r1", deployment), b'{"truth": {"data": {"ndarray": [1]}}}')[0] == 200
        sender.close()
        assert requests.get(f"{server.url}/readyz", timeout=10).status_code == 200
        server.stop()
    (document,) = index.documents(index_of(deployment)).values()
    assert document["metrics"]["correct"] == 1
    log = Path(server.log).read_text()
    for name, count in (("indices:admin/index_template/put", 2), ("indices:admin/mappings/get", 1)):
        lines = [line for line in log.splitlines() if f"the user lacks the privilege {name}" in line]
        assert len(lines) == count, log
        assert not any("writer" in line for line in lines)
    assert "can't be found: this user may not list" in log


def test_a_bulk_that_is_refused_names_the_privilege(engine: Any) -> None:
    """The answer to the sender and the log's line have it."""
    with Proxy(engine.url) as proxy:
        proxy.instead = lambda method, path: refusal("indices:data/write/bulk") if path == "/_bulk" else None
        client = SearchEngine(Settings(elasticsearch_host="127.0.0.1", elasticsearch_port=proxy.port))
        said = "^the engine answered 403 to _bulk of 3 bytes, the user lacks the privilege indices:data/write/bulk: "
        with pytest.raises(StoreUnavailableError, match=said):
            client.bulk(b"{}\n")
