"""A user who may do less than docs/kubernetes.md asks for: what it may is done, and what is missing is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from request_logger.cli import main
from request_logger.commands import job_writer
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


BOOLEAN = {"type": "boolean"}
OLD_TIME = "2020-01-01T00:00:00Z"


@dataclass(frozen=True)
class Deployment:
    """A deployment and its index."""

    name: str
    index: str


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


# A command, what of its requests is refused (a part of the path, or of the path and the body), and the action's name.
COMMANDS: list[tuple[str, str, str]] = [
    ("setup", "GET /_index_template", "indices:admin/index_template/get"),
    ("setup --retention 90d", "/_ilm/status", "cluster:admin/ilm/get"),
    ("check NAME", "_mapping", "indices:admin/mappings/get"),
    ("prune --older-than 1d NAME", "_delete_by_query", "indices:data/write/delete/byquery"),
    ("prune --payloads-older-than 1d NAME", "POST /_bulk", "indices:data/write/index"),
    ("erase --id the-only-one", "_refresh", "indices:admin/refresh"),
    ("erase --id the-only-one --yes --reason test", "PUT /request-logger-erasures", "indices:admin/create"),
    ("erase --id the-only-one --yes --reason test", "/request-logger-erasures/_search", "indices:data/read/search"),
    ("drift DEPLOYMENT", "_mget", "indices:data/read/mget"),
    ("audit DEPLOYMENT", "_search", "indices:data/read/search"),
    ("rescore --deployment DEPLOYMENT --scorer binary:threshold=0.9", "POST /_bulk", "indices:data/write/bulk"),
    ("setup --upgrade NAME", "_close", "indices:admin/close"),
    ("dead-letters list", "_refresh", "indices:admin/refresh"),
]


@pytest.fixture(scope="module")
def scored(make_server: Callable[..., Server], index: Index) -> Deployment:
    """A deployment with a scored prediction, in an index with the types of an earlier version."""
    deployment = "privileges"
    name = index_of(deployment)
    index.request("PUT", f"/{name}", {"mappings": {"properties": {"feedback": {"properties": {"reward": BOOLEAN}}}}})
    with closing(Sender(make_server(GUNICORN_WORKERS="1").url)) as sender:
        for part, body in (
            ("request", ndarray([[1.0, "a"]], ["x", "y"])),
            ("response", ndarray([[0.2, 0.8]])),
            ("feedback", b'{"truth": {"data": {"ndarray": [1]}}}'),
        ):
            assert sender.send({**event(part, "the-only-one", deployment), "Ce-Time": OLD_TIME}, body)[0] == 200
    index.refresh()
    return Deployment(deployment, name)


@pytest.mark.parametrize(("command", "refused", "action"), COMMANDS, ids=[f"{each[0]}: {each[1]}" for each in COMMANDS])
def test_a_command_says_which_privilege_is_missing(
    engine: Any,
    scored: Deployment,
    command: str,
    refused: str,
    action: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In one line, with status 2, and without the user's name; nothing is taken for done."""
    monkeypatch.setenv("ELASTICSEARCH_HOST", "127.0.0.1")
    monkeypatch.setenv("STORE_TIMEOUT_SECONDS", "0.2")
    monkeypatch.setenv("INDEX_PERIOD", "month")
    monkeypatch.setattr(job_writer, "PATIENCE_SECONDS", 1.0)
    with Proxy(engine.url) as proxy:
        monkeypatch.setenv("ELASTICSEARCH_PORT", str(proxy.port))
        proxy.instead = lambda method, path: refusal(action) if refused in f"{method} {path}" else None
        arguments = command.replace("NAME", scored.index).replace("DEPLOYMENT", scored.name).split()
        assert main(arguments) == 2
    said = capsys.readouterr().err + caplog.text
    assert f"the user lacks the privilege {action}" in said
    assert "name=writer" not in said
    assert "Traceback" not in said
