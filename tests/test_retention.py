"""`request-logger setup` and `prune` on a real engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

import pytest

from request_logger.cli import main
from request_logger.commands import prune
from request_logger.settings import Settings
from request_logger.store.indices import retention
from request_logger.store.indices.mapping_check import field_types
from request_logger.store.indices.templates import DEAD_LETTER_INDEX, TEMPLATE_NAME, mapping, wanted
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
    """Without the logger's templates, as on a new engine; afterwards they are installed again."""
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
    # Numbers may have no points: that depends on the engine.
    assert field_types(made["mappings"]) == field_types(mapping())
    before = index.request("GET", f"/_index_template/{TEMPLATE_NAME}")
    assert [line.rpartition(": ")[2] for line in run("setup")] == ["already installed", "already installed"]
    assert index.request("GET", f"/_index_template/{TEMPLATE_NAME}") == before


@pytest.mark.engine
def test_setup_replaces_an_older_one(run: Callable[..., list[str]], no_templates: None, index: Index) -> None:
    """A lower version, or one that lacks INDEX_NAME, is replaced; a higher one is left alone."""
    old = {"index_patterns": ["inference-log-*", "reference-log-*", "drift-log-*"], "priority": 100, "version": 0}
    index.request("PUT", f"/_index_template/{TEMPLATE_NAME}", old)
    assert run("setup")[0] == f"index template {TEMPLATE_NAME}: newer version, installed"
    index.request("PUT", f"/_index_template/{TEMPLATE_NAME}", {**old, "version": 1000})
    assert run("setup")[0] == f"index template {TEMPLATE_NAME}: already installed"


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


def test_an_index_of_a_period_is_removed_when_its_last_document_is_old() -> None:
    """Its age counts from its first one, which may be dated a day ahead."""
    assert retention.age(timedelta(days=90), "month") == "122d"
    assert retention.age(timedelta(hours=36), "day") == "84h"
    assert retention.age(timedelta(weeks=1), "day") == "9d"


def test_only_indices_of_periods_get_a_policy() -> None:
    """By their names, so that no setting of another process can put an index in danger that is still written to."""
    patterns = retention.patterns("all-events")
    dated = ["2026.01", "2026.12", "2030.10", "2026.01.31", "2026.11.05", "2026.02.v2"]
    undated = ["", "-v2", ".v2", "-2", "-20", "-2.v2", "-20.v2", "-2026", "-2.0", "~0123456789abcdef"]
    for name in ("inference-log-seldon-ns-iris-default", "reference-log-x", "drift-log-x-y", "all-events"):
        for ending in dated:
            assert any(fnmatchcase(f"{name}-{ending}", pattern) for pattern in patterns), ending
        for ending in undated:
            assert not any(fnmatchcase(name + ending, pattern) for pattern in patterns), ending
    assert not any(fnmatchcase(f"{DEAD_LETTER_INDEX}-2026.01", pattern) for pattern in patterns)


def test_the_template_of_periods_is_that_of_all_indices_and_a_policy() -> None:
    """The same types; the name of the policy; before the other one."""
    settings = Settings(index_shards="2")
    whole, dated = wanted(settings)[TEMPLATE_NAME], retention.index_templates(settings)[retention.NAME]
    assert dated["priority"] > whole["priority"]
    assert dated["template"]["mappings"] == whole["template"]["mappings"]
    added = dated["template"]["settings"].items() - whole["template"]["settings"].items()
    assert dict(added) == {"index.lifecycle.name": retention.NAME}
    assert whole["template"]["settings"].items() <= dated["template"]["settings"].items()


def test_policy_of_ilm() -> None:
    """What Elasticsearch answers of it is recognised; another age replaces it, and phases of somebody else's stay."""
    made = retention.ilm_policy("122d")
    assert made == {"policy": {"phases": {"delete": {"min_age": "122d", "actions": {"delete": {}}}}}}
    delete = {"min_age": "122d", "actions": {"delete": {"delete_searchable_snapshot": True}}}
    warm = {"min_age": "32d", "actions": {"forcemerge": {"max_num_segments": 1}}}
    answer = {retention.NAME: {"version": 1, "policy": {"phases": {"delete": delete, "warm": warm}}, "in_use_by": {}}}
    assert retention.ilm_policy("122d", answer) is None
    assert retention.ilm_policy("62d", answer) == {
        "policy": {"phases": {"delete": {**delete, "min_age": "62d"}, "warm": warm}}
    }


def test_policy_of_ism() -> None:
    """As the plugin documents it: every state exists, the last removes the index; its answer is recognised."""
    patterns = retention.patterns()
    made = retention.ism_policy("122d", patterns)
    assert made is not None
    policy = made["policy"]
    states = {state["name"]: state for state in policy["states"]}
    (transition,) = states[policy["default_state"]]["transitions"]
    assert transition["conditions"] == {"min_index_age": "122d"}
    assert states[transition["state_name"]] == {"name": "removed", "actions": [{"delete": {}}], "transitions": []}
    # It adds fields.
    retry = {"count": 3, "backoff": "exponential", "delay": "1m"}
    answer = json.loads(json.dumps({"_id": retention.NAME, "_seq_no": 7, "_primary_term": 1, **made}))
    answer["policy"] |= {"policy_id": retention.NAME, "schema_version": 21, "error_notification": None}
    answer["policy"]["states"][1]["actions"] = [{"retry": retry, "delete": {}}]
    answer["policy"]["ism_template"]["last_updated_time"] = 1725270084128
    # One of Open Distro, then one of OpenSearch.
    assert retention.ism_policy("122d", patterns, answer) is None
    answer["policy"]["ism_template"] = [answer["policy"]["ism_template"]]
    assert retention.ism_policy("122d", patterns, answer) is None
    assert retention.ism_policy("62d", patterns, answer) == retention.ism_policy("62d", patterns)
    assert retention.ism_policy("122d", retention.patterns("all-events"), answer) is not None


@pytest.mark.engine
def test_an_engine_that_has_neither_says_so(
    run: Callable[..., list[str]], no_templates: None, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As all engines of the tests: the templates are installed, and one line names the other way."""
    monkeypatch.setenv("INDEX_PERIOD", "month")
    (line,) = run("setup", "--retention", "90d", status=2)
    assert line.startswith(
        f"request-logger: --retention: {index.url} has neither ILM nor ISM: run `request-logger prune"
    )
    assert "--older-than 90d" in line
    assert index.request("GET", f"/_index_template/{TEMPLATE_NAME}")["index_templates"]


def test_retention_needs_periods(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without, an engine would remove an index that is still written to: refused before the engine is asked."""
    monkeypatch.setenv("ELASTICSEARCH_HOST", "127.0.0.1:1")
    assert main(["setup", "--retention", "90d"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("request-logger: --retention: expected INDEX_PERIOD to be month or day, found none")
    monkeypatch.setenv("INDEX_PERIOD", "day")
    assert main(["setup", "--retention", "forever"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("request-logger: --retention: expected hours, days or weeks")


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
    assert run("prune", "--older-than", "90d", "--dry-run", "--in", f"test/{deployment}")[0] == f"{name}: 11 to remove"
    chosen = ("--in", deployment, "--where", "RequestId=r3", "--where", "RequestId!=r4")
    assert run("prune", "--older-than", "90d", "--dry-run", *chosen)[0] == f"{name}: 1 to remove"
    assert index.count(name) == 20
    nothing = {"query": {"match_none": {}}}
    if "no handler found" in str(index.request("POST", f"/{name}/_delete_by_query", nothing).get("error")):
        pytest.skip("this engine has no delete-by-query")
    assert run("prune", "--older-than", "90d", *chosen)[0] == f"{name}: 1 removed"
    assert run("prune", "--older-than", "90d", name)[0] == f"{name}: 10 removed"
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
    assert main(["prune", "--older-than", "1d", "--in", "iris", "inference-log-*"]) == 2
    assert "expected --in or a pattern, not both" in capsys.readouterr().err
    assert main(["setup"]) == 2
    assert main(["prune", "--older-than", "1d"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("the engine does not answer" in line for line in lines)


@pytest.mark.engine
def test_payloads_are_removed_and_metrics_stay(
    run: Callable[..., list[str]], sender: Sender, index: Index, deployment: str
) -> None:
    """Of old documents only; again it finds nothing; rescoring and duplicates change nothing; late feedback stays."""
    name, now = index_of(deployment), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    feedback = json.dumps({"truth": {"data": {"ndarray": [[0, 1]]}}}).encode()
    bodies = {"request": ndarray([[3]], ["age"]), "response": ndarray([[0.2, 0.8]], ["no", "yes"])}
    for id, time in (("scored", None), ("waits", None), ("new", now)):
        for part, body in {**bodies, **({} if id == "waits" else {"feedback": feedback})}.items():
            assert sender.send(event(part, id, deployment, **({"Ce_Time": time} if time else {})), body)[0] == 200
    whole = {id: document for (_, id), document in index.documents(name).items()}
    assert run("prune", "--payloads-older-than", "1d", name, "--dry-run")[0] == f"{name}: payloads of 2 to remove"
    chosen = ("--in", deployment, "--where", "RequestId=waits")
    assert run("prune", "--payloads-older-than", "1d", *chosen)[0] == f"{name}: payloads of 1 removed"
    index.documents(name)  # refreshes it
    assert run("prune", "--payloads-older-than", "1d", name)[0] == f"{name}: payloads of 1 removed"
    bare = {id: document for (_, id), document in index.documents(name).items()}
    assert bare["new"] == whole["new"]
    assert bare["scored"]["metrics"] == whole["scored"]["metrics"]
    assert "instance" not in bare["scored"]["response"]
    assert run("prune", "--payloads-older-than", "1d", name)[0].startswith("the payloads of 0 documents")

    for part, body in {**bodies, "feedback": feedback}.items():
        assert sender.send(event(part, "scored", deployment), body)[0] == 200
    run("rescore", "--index", name)
    assert sender.send(event("feedback", "waits", deployment), feedback)[0] == 200
    after = {id: document for (_, id), document in index.documents(name).items()}
    assert {id: after[id] for id in ("scored", "new")} == {id: bare[id] for id in ("scored", "new")}
    assert "payload was removed" in after["waits"]["metrics"]["unscorable"]
    assert run("prune", status=2)[0].endswith("expected --older-than, --payloads-older-than, or both")
