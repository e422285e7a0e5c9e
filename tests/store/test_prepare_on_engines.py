"""What preparing does with indices that are closed, blocked, aliases, data streams or need a routing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from request_logger.store.indices import templates
from request_logger.store.indices.admin import RETRY_SECONDS, IndexAdmin
from request_logger.store.indices.capabilities import TRIAL_BODY, remove_stale_trial_indices
from tests.helpers import Index

pytestmark = pytest.mark.engine


class Clock:
    """A time that the test sets (seconds)."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sent() -> list[tuple[str, str]]:
    """Method and path of each request."""
    return []


@pytest.fixture
def admin(engine: Any, clock: Clock, sent: list[tuple[str, str]]) -> IndexAdmin:
    """Prepares indices of the session's engine, as long as the test's clock says."""
    parts = urlsplit(engine.url)
    settings = Settings(elasticsearch_host=parts.hostname or "", elasticsearch_port=parts.port or 0)
    request = SearchEngine(settings).request

    def asked(method: str, path: str, body: Any = None, params: Any = None, timeout: Any = None) -> tuple[int, Any]:
        sent.append((method, path))
        return request(method, path, body, params, timeout)

    return IndexAdmin(asked, settings, clock)


@pytest.fixture
def name(index: Index, deployment: str) -> Iterator[str]:
    """The name of an index that goes at the end, with what has its name in it."""
    made = f"inference-log-seldon-test-{deployment}-default"
    yield made
    index.request("DELETE", f"/_data_stream/{made}")
    index.request("DELETE", f"/_index_template/t-{made}")
    index.request("PUT", f"/{made}/_settings", {"index.blocks.metadata": None, "index.blocks.read_only": None})
    index.drop(f"{made}*")


def template(index: Index, name: str, body: dict[str, Any]) -> None:
    answer = index.request("PUT", f"/_index_template/t-{name}", {"index_patterns": [name], "priority": 5000, **body})
    assert answer == {"acknowledged": True}


def prepared_often(admin: IndexAdmin, name: str, clock: Clock, caplog: pytest.LogCaptureFixture) -> tuple[bool, int]:
    """Prepare an index 50 times in 10 s; return the last message and the number of the logger's warnings."""
    with caplog.at_level(logging.WARNING, logger="request_logger"):
        for _ in range(50):
            done = admin.prepare(name)
            clock.now += 0.2
    return done, sum(record.name.startswith("request_logger") for record in caplog.records)


def lacks(index: Index, name: str) -> Any:
    mapping = next(iter(index.request("GET", f"/{name}/_mapping").values()))["mappings"]
    return templates.additions(mapping)


def test_a_closed_index(
    admin: IndexAdmin, name: str, index: Index, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is given its fields while it is closed; the verdict on each document is that it is closed."""
    index.request("PUT", f"/{name}", {"mappings": {"properties": {"metrics": {"properties": {}}}}})
    index.request("POST", f"/{name}/_close")
    assert prepared_often(admin, name, clock, caplog) == (True, 0)
    index.request("POST", f"/{name}/_open")
    assert lacks(index, name) == {}


def test_an_alias_of_two_without_a_write_index(
    admin: IndexAdmin, name: str, index: Index, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Each index behind it is given what it lacks."""
    for number in (1, 2):
        template(index, name, {"template": {"mappings": {"dynamic": "strict"}}, "index_patterns": [f"{name}*"]})
        index.request("PUT", f"/{name}-{number}")
        index.request("POST", "/_aliases", {"actions": [{"add": {"index": f"{name}-{number}", "alias": name}}]})
    assert prepared_often(admin, name, clock, caplog) == (True, 0)
    assert lacks(index, f"{name}-1") == lacks(index, f"{name}-2") == {}


def test_a_template_of_data_streams(
    admin: IndexAdmin,
    name: str,
    index: Index,
    clock: Clock,
    sent: list[tuple[str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No index can be created: said once, asked again after pauses, and prepared when the template is gone."""
    body = {"index_patterns": [name], "priority": 5000, "data_stream": {}}
    if index.request("PUT", f"/_index_template/t-{name}", body) != {"acknowledged": True}:
        pytest.skip("this engine has no data streams")
    assert prepared_often(admin, name, clock, caplog) == (False, 1)
    assert sent.count(("PUT", f"/{name}")) <= 3
    index.request("DELETE", f"/_index_template/t-{name}")
    clock.now += RETRY_SECONDS
    assert admin.prepare(name)
    assert lacks(index, name) == {}


def test_routing_is_required(
    admin: IndexAdmin, name: str, index: Index, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The mapping keeps it; ours are added."""
    template(index, name, {"template": {"mappings": {"_routing": {"required": True}}}})
    assert prepared_often(admin, name, clock, caplog) == (True, 0)
    assert lacks(index, name) == {}


@pytest.mark.parametrize("block", ["metadata", "read_only"])
def test_a_blocked_index(
    admin: IndexAdmin,
    name: str,
    index: Index,
    clock: Clock,
    sent: list[tuple[str, str]],
    caplog: pytest.LogCaptureFixture,
    block: str,
) -> None:
    """Said once, asked again after pauses, and prepared when the block has ended."""
    template(index, name, {"template": {"mappings": {"dynamic": False}}})
    index.request("PUT", f"/{name}")
    assert index.request("PUT", f"/{name}/_settings", {f"index.blocks.{block}": True}) == {"acknowledged": True}
    done, warnings = prepared_often(admin, name, clock, caplog)
    assert (done, warnings) in ((False, 1), (False, 2))
    assert sent.count(("GET", f"/{name}/_mapping")) <= 3
    index.request("PUT", f"/{name}/_settings", {f"index.blocks.{block}": None})
    clock.now += RETRY_SECONDS
    assert admin.prepare(name)
    assert lacks(index, name) == {}


@pytest.mark.parametrize(
    "bad", ["Upper", "a*b", "a,b", "a b", "_under", "-minus", "x" * 256, "a#b", "..", "a?b", "a:b"]
)
def test_a_name_that_no_index_can_have(admin: IndexAdmin, bad: str, sent: list[tuple[str, str]]) -> None:
    """It is refused by the engine, document by document: nothing is raised here, and nothing else is created."""
    assert admin.prepare(bad) in (True, False)
    count = len(sent)
    assert admin.prepare(bad) in (True, False)
    assert len(sent) <= count + 3


def test_an_index_that_is_gone_is_prepared_anew(admin: IndexAdmin, name: str, index: Index, clock: Clock) -> None:
    """Created again with our types; by somebody's write in between it is given what it lacks as far as it can have."""
    assert admin.prepare(name)
    index.request("DELETE", f"/{name}")
    admin.forget(name)
    assert admin.prepare(name)
    assert lacks(index, name) == {}
    index.request("DELETE", f"/{name}")
    template(index, name, {"template": {}})
    index.request(
        "PUT", f"/{name}/_doc/1", {"request": {"elements": {"age": 1}}, "RequestId": "r", "metrics": {"a": 1}}
    )
    admin.forget(name)
    clock.now += RETRY_SECONDS
    assert admin.prepare(name)
    assert lacks(index, name) == {}


REFUSE: dict[str, Callable[[str], bool]] = {
    "templates": lambda path: path.startswith("/_index_template"),
    "mappings": lambda path: path.endswith("/_mapping"),
}


@pytest.mark.parametrize("what", REFUSE)
def test_a_user_who_may_do_little(
    admin: IndexAdmin, name: str, index: Index, clock: Clock, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """Each refusal is said once, whatever the number of calls and of indices."""
    ask = admin._request

    def refusing(method: str, path: str, body: Any = None, params: Any = None) -> tuple[int, Any]:
        if REFUSE[what](path):
            return 403, {"error": {"type": "security_exception", "reason": "no permissions"}, "status": 403}
        return ask(method, path, body, params)

    admin._request = refusing
    done, warnings = prepared_often(admin, name, clock, caplog)
    assert (done, warnings) == (True, 2 if what == "templates" else 1)


def test_stale_trial_indices_are_deleted(engine: Any) -> None:
    """As engines show them: hidden, and with the time of their creation. Those of today stay."""
    parts = urlsplit(engine.url)
    request = SearchEngine(
        Settings(elasticsearch_host=parts.hostname or "", elasticsearch_port=parts.port or 0)
    ).request
    path = f"/inference-log-request-logger-trial-{uuid4().hex}"
    assert request("PUT", path, TRIAL_BODY)[0] == 200
    remove_stale_trial_indices(request, time.time())
    assert request("GET", path)[0] == 200
    remove_stale_trial_indices(request, time.time() + 2 * 86_400)
    assert request("GET", path)[0] == 404
