"""`request-logger setup --upgrade` on a real engine, with an index of the first version and a logger that writes."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from request_logger.cli import main
from request_logger.errors import CommandError
from request_logger.jobs.upgrade_block import WriteBlock
from request_logger.jobs.upgrade_index import UpgradeIndex, copy_name
from request_logger.jobs.upgraded_documents import converted
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from request_logger.store.indices.upgrade_lock import MADE_BY, lift
from tests.helpers import Index, Sender, Server, event, index_of, ndarray

TEXT = {"type": "keyword", "fields": {"keyword": {"type": "keyword"}}}
# As the first version made it: subfields, points, and a reward that the original had made a boolean.
OLD = {
    "settings": {"number_of_shards": 2},
    "mappings": {
        "date_detection": False,
        "properties": {
            "RequestId": TEXT,
            "Ce-Inferenceservicename": TEXT,
            "request": {"properties": {"ce-source": TEXT, "dataType": TEXT}},
            "feedback": {"properties": {"reward": {"type": "boolean"}}},
        },
    },
}


@pytest.mark.engine
def test_an_index_is_replaced_while_a_logger_writes(
    make_server: Callable[..., Server],
    index: Index,
    deployment: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No event is refused, lost, or there twice; deleted documents stay deleted; again there is nothing to do."""
    monkeypatch.setenv("ELASTICSEARCH_HOST", index.url)
    name = index_of(deployment)
    index.request("PUT", f"/{name}", OLD)
    index.request("PUT", f"/{name}/_alias/{deployment}-alias")
    index.request("PUT", f"/{name}/_doc/gone", {"@timestamp": "2026-01-01T00:00:00Z"})
    server = make_server(GUNICORN_WORKERS="1")
    answers: list[int] = []
    stop = threading.Event()

    def write() -> None:
        connection = Sender(server.url)
        while not stop.is_set():
            id = f"p-{len(answers) // 2}"
            for part, body in (("request", ndarray([[1]], ["a"])), ("response", ndarray([[0.2, 0.8]]))):
                answers.append(connection.send(event(part, id, deployment), body)[0])
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(answers) < 100:
            stop.wait(0.05)
        index.request("DELETE", f"/{name}/_doc/gone")
        index.refresh()
        assert main(["check", name]) in (0, 1)
        assert "request-logger setup --upgrade" in capsys.readouterr().out
        assert main(["setup", "--upgrade", name]) == 0
        assert f"{name}: replaced by {name}.v2" in capsys.readouterr().out
        begun = len(answers)
        while len(answers) < begun + 50:
            stop.wait(0.05)
    finally:
        stop.set()
        writer.join()
    assert set(answers) == {200}
    assert set(index.request("GET", f"/{name}/_alias")) == {f"{name}.v2"}
    assert set(index.request("GET", f"/{name}.v2/_alias")[f"{name}.v2"]["aliases"]) == {name, f"{deployment}-alias"}
    documents = index.documents(f"{name}*")
    assert {id for _, id in documents} == {f"p-{number}" for number in range(len(answers) // 2)}
    assert len(documents) == len(answers) // 2
    assert all({"request", "response"} <= document.keys() for document in documents.values())
    assert index.count("inference-log-*", {"term": {"Ce-Inferenceservicename": deployment}}) == len(documents)
    assert main(["setup", "--upgrade", name]) == 0
    assert capsys.readouterr().out.endswith("no index has older types\n")


@pytest.mark.engine
def test_an_interrupted_run_is_continued(
    index: Index, deployment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the copy, while writes are blocked, after the switch; what was changed and removed in between is, too."""
    monkeypatch.setenv("ELASTICSEARCH_HOST", index.url)
    name = index_of(deployment)
    index.request("PUT", f"/{name}", OLD)
    document = {"@timestamp": "2026-01-01T00:00:00Z", "feedback": {"reward": True}, "request": {"dataType": "x"}}
    for id in ("changed", "removed", "kept"):
        index.request("PUT", f"/{name}/_doc/{id}", document)
    run = UpgradeIndex(SearchEngine(Settings.from_env()), name, lambda line: None)
    run._prepare()
    assert run._catch_up() == 3
    run._note("copying")
    assert index.count("inference-log-*", {"term": {"request.dataType": "x"}}) == 3
    index.request("DELETE", f"/{name}/_doc/removed")
    index.request("PUT", f"/{name}/_doc/changed", {**document, "feedback": {"reward": False}})

    # Killed while writes are blocked: a logger lifts the block, and a run that was only slow doesn't replace the index.
    engine = SearchEngine(Settings.from_env())
    monkeypatch.setattr(WriteBlock, "lift", lambda self: None)
    switch = run._switch

    def slow() -> bool:
        assert index.request("PUT", f"/{name}/_doc/refused", document)["status"] == 403
        assert lift(engine.request, name) == f"the write block of index {name} is lifted"
        assert lift(engine.request, name) == ""
        assert index.request("PUT", f"/{name}/_doc/late", document)["result"] == "created"
        return switch()

    monkeypatch.setattr(run, "_switch", slow)
    with pytest.raises(CommandError, match="its write block was lifted"):
        run._replace(is_last=True)
    monkeypatch.undo()
    monkeypatch.setenv("ELASTICSEARCH_HOST", index.url)

    monkeypatch.setattr(UpgradeIndex, "_finish", lambda self: None)
    assert main(["setup", "--upgrade", name]) == 0
    assert f"continuing with {name}.v2" in capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.setenv("ELASTICSEARCH_HOST", index.url)
    assert main(["setup", "--upgrade", name]) == 0
    found = {id: each["feedback"]["reward"] for (_, id), each in index.documents(f"{name}.v2").items()}
    assert found == {"changed": 0, "kept": 1, "late": 1}
    about = index.request("GET", f"/{name}.v2")[f"{name}.v2"]
    assert about["mappings"]["_meta"][MADE_BY]["state"] == "done"
    assert about["settings"]["index"].get("hidden") in (None, "false")
    assert set(index.request("GET", f"/{name}*/_mapping?expand_wildcards=all")) == {f"{name}.v2"}


def test_names_of_copies() -> None:
    """The next number, or the copy that was begun."""
    begun = {"mappings": {"_meta": {MADE_BY: {"of": "a", "state": "copying"}}}}
    assert copy_name("a", {}) == "a.v2"
    assert copy_name("a", {"a.v2": {}, "a.v10": {}}) == "a.v11"
    assert copy_name("a.v2", {"a.v2": {}}) == "a.v3"
    assert copy_name("a", {"a.v2": begun, "a.v3": {}}) == "a.v2"
    assert copy_name("b", {}) == "b.v2"


def test_documents_are_converted() -> None:
    """Content that an old type refused is in its field again; everything else is as it was."""
    same = {"request": {"payload": 1}, "feedback": {"reward": 0.5}, "metrics": "another program's"}
    assert converted(same) is same
    refused = {"request": {"unindexed": '{"elements": {"a": 1}}', "unindexed_reason": "r", "ce-time": "t"}}
    assert converted(refused) == {"request": {"elements": {"a": 1}, "ce-time": "t"}}
    first = {"feedback": {"unindexed": {"truth": 1, "reward": True}, "unindexed_reason": "r"}}
    assert converted(first) == {"feedback": {"truth": 1, "reward": 1}}
