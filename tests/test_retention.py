"""`request-logger setup` and `prune` on a real engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from request_logger.cli import main
from request_logger.commands import prune
from request_logger.store.templates import DEAD_LETTER_INDEX, TEMPLATE_NAME, mapping
from tests.helpers import Index, Sender, event, index_of, ndarray


@pytest.fixture
def run(index: Index, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Run a command on the session's engine; give its lines."""
    monkeypatch.setenv("ELASTICSEARCH_HOST", index.url)

    def call(*arguments: str, status: int = 0) -> list[str]:
        assert main(arguments) == status
        captured = capsys.readouterr()
        return (captured.err if status else captured.out).splitlines()

    return call


@pytest.fixture
def no_templates(index: Index) -> Iterator[None]:
    """No template of ours is there, as on a new engine; afterwards they are there again."""
    for name in (TEMPLATE_NAME, DEAD_LETTER_INDEX):
        index.request("DELETE", f"/_index_template/{name}")
    yield
    assert main(["setup"]) == 0


@pytest.mark.engine
def test_setup_installs_once(run: Callable[..., list[str]], no_templates: None, index: Index) -> None:
    """Nothing in a dry run; then both templates, which give an index our types; then nothing is left to do."""
    dry = run("setup", "--dry-run")
    assert f"PUT /_index_template/{TEMPLATE_NAME}" in dry
    assert index.request("GET", f"/_index_template/{TEMPLATE_NAME}")["status"] == 404
    assert [line.rpartition(", ")[2] for line in run("setup")] == ["installed", "installed"]
    assert index.request("PUT", "/inference-log-seldon-setup-test")["acknowledged"]
    made = index.request("GET", "/inference-log-seldon-setup-test/_mapping")["inference-log-seldon-setup-test"]
    index.request("DELETE", "/inference-log-seldon-setup-test")
    assert made["mappings"]["properties"]["metrics"] == mapping()["properties"]["metrics"]
    before = index.request("GET", f"/_index_template/{TEMPLATE_NAME}")
    assert [line.rpartition(": ")[2] for line in run("setup")] == ["is there", "is there"]
    assert index.request("GET", f"/_index_template/{TEMPLATE_NAME}") == before


@pytest.mark.engine
def test_setup_replaces_an_older_one(run: Callable[..., list[str]], no_templates: None, index: Index) -> None:
    """A lower version, or one that lacks INDEX_NAME, is replaced; a higher one is left alone."""
    old = {"index_patterns": ["inference-log-*", "reference-log-*", "drift-log-*"], "priority": 100, "version": 0}
    index.request("PUT", f"/_index_template/{TEMPLATE_NAME}", old)
    assert run("setup")[0] == f"index template {TEMPLATE_NAME}: newer version, installed"
    index.request("PUT", f"/_index_template/{TEMPLATE_NAME}", {**old, "version": 1000})
    assert run("setup")[0] == f"index template {TEMPLATE_NAME}: is there"


@pytest.mark.engine
def test_setup_says_what_the_engine_refuses(
    run: Callable[..., list[str]], no_templates: None, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another template of the same priority for the same indices: the engine refuses ours, in one line."""
    other = {"index_patterns": [DEAD_LETTER_INDEX], "priority": 100}
    index.request("PUT", "/_index_template/in-the-way", other)
    try:
        (line,) = run("setup", status=2)
    finally:
        index.request("DELETE", "/_index_template/in-the-way")
    assert f"answered 400 to PUT /_index_template/{DEAD_LETTER_INDEX}" in line
    assert "in-the-way" in line


def days_ago(days: int) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%dT%H:%M:%S.000Z}"


@pytest.mark.engine
def test_prune_removes_the_old_and_leaves_the_rest(
    run: Callable[..., list[str]], sender: Sender, index: Index, deployment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the request's time, however late the feedback is; in chunks; and a second time there is nothing to do."""
    monkeypatch.setattr(prune, "CHUNK", 4)
    name = index_of(deployment)
    for number in range(20):
        age = 100 if number < 11 else 80
        body = ndarray([[number]])
        assert sender.send(event("request", f"r{number}", deployment, Ce_Time=days_ago(age)), body) == (200, b"")
    feedback = json.dumps({"reward": 1}).encode()
    assert sender.send(event("feedback", "r0", deployment, Ce_Time=days_ago(1)), feedback) == (200, b"")
    index.refresh()
    assert run("prune", "--older-than", "90d", "--dry-run", name)[0] == f"{name}: 11 to remove"
    assert index.count(name) == 20
    nothing = {"query": {"match_none": {}}}
    if "no handler found" in str(index.request("POST", f"/{name}/_delete_by_query", nothing).get("error")):
        pytest.skip("this engine has no delete-by-query")
    assert run("prune", "--older-than", "90d", name)[0] == f"{name}: 11 removed"
    assert sorted(id for _, id in index.documents(name)) == sorted(f"r{number}" for number in range(11, 20))
    assert len(run("prune", "--older-than", "90d", name)) == 1
    # What comes for one that is gone starts anew, although a worker may remember what was there.
    assert sender.send(event("feedback", "r1", deployment, Ce_Time=days_ago(1)), feedback) == (200, b"")
    found = index.documents(name)[name, "r1"]
    assert "feedback" in found
    assert "request" not in found


@pytest.mark.engine
def test_prune_without_any_index(run: Callable[..., list[str]]) -> None:
    """No index is no error."""
    (line,) = run("prune", "--older-than", "1h", "inference-log-nothing-like-this*")
    assert line.startswith("0 documents from before ")


@pytest.mark.parametrize("text", ["90", "0d", "-1d", "90 d", "1y", "", "999999w"])
def test_prune_says_what_a_time_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong time is one line, before the engine is asked."""
    assert main(["prune", f"--older-than={text}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("request-logger: --older-than: expected")
    assert repr(text) in line


def test_without_an_engine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An engine that isn't there is one line and status 2."""
    monkeypatch.setenv("ELASTICSEARCH_HOST", "127.0.0.1:1")
    assert main(["setup"]) == 2
    assert main(["prune", "--older-than", "1d"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("the engine does not answer" in line for line in lines)
