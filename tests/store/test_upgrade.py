"""The image is swapped on indices that the original made: what notebooks ask gives the same before and after."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from request_logger.cli import main
from request_logger.documents.document import expand
from tests.helpers import Index, Sender, Server, event, ndarray
from tests.store.test_existing_indices import CASES, QUERIES, put

pytestmark = pytest.mark.engine

# What the original stored of each case with feedback: index -> its documents.
OLD: dict[str, list[dict[str, Any]]] = {}
for _name, _case in CASES.items():
    if any("feedback" in document["source"] for document in _case["documents"]):
        for _document in _case["documents"]:
            OLD.setdefault(_document["index"], []).append(_document)
# What the original's dynamic mapping makes a boolean; a number doesn't go into it and is counted in metrics.reward.
BOOLEAN = {index for index, documents in OLD.items() if "reward-bool" in index}
# What notebooks and dashboards ask beside the two figures of QUERIES.
LISTS = {
    "deployments": {"terms": {"field": "Ce-Inferenceservicename.keyword"}},
    "ids": {"terms": {"field": "RequestId.keyword"}},
    "engines": {"terms": {"field": "ServingEngine.keyword"}},
    "days": {"date_histogram": {"field": "@timestamp", "calendar_interval": "day"}},
}


@pytest.fixture
def old_indices(index: Index) -> Iterator[list[str]]:
    """The indices as the original left them: with the types that the engine guessed."""
    template = {"index_patterns": ["inference-log-*-gold-*"], "priority": 1001, "template": {}}
    assert index.request("PUT", "/_index_template/before-the-upgrade", template) == {"acknowledged": True}
    index.drop("inference-log-*-gold-*")
    for name, documents in OLD.items():
        for document in documents:
            assert put(index, name, document["id"], document["source"])
    yield sorted(OLD)
    index.request("DELETE", "/_index_template/before-the-upgrade")
    index.drop("inference-log-*-gold-*")


def ask(index: Index, name: str, query: Any = None) -> dict[str, Any]:
    """The answers to all questions; an engine adds an empty ``meta`` where it doesn't know a field."""
    answers = index.aggregate(name, {**QUERIES, **LISTS}, query)
    return {key: {part: value for part, value in answer.items() if part != "meta"} for key, answer in answers.items()}


def test_notebooks_see_the_same(
    old_indices: list[str], make_server: Callable[..., Server], index: Index, deployment: str
) -> None:
    """Sum of rewards, count with feedback, lists and searches of old documents; new ones come on top, once each."""
    before = {name: ask(index, name) for name in old_indices}
    stored = {name: index.documents(name) for name in old_indices}
    rewards = [found["rewards"]["value"] for found in before.values()]
    assert len(old_indices) > 15
    assert sum(rewards) > 8

    # Only now this logger starts; it finds each index with the types of the original's.
    server = make_server()
    sender = Sender(server.url)
    feedback = json.dumps({"reward": 1, "truth": {"data": {"ndarray": [[0, 1]]}}}).encode()
    new = f"new-{deployment}"
    for name in old_indices:
        source = OLD[name][0]["source"]
        headers = {
            "Ce_Namespace": source["Ce-Namespace"],
            "Ce_Endpoint": source["Ce-Endpoint"],
            "Ce_Modelid": source["Ce-Modelid"],
        }
        for part, body in (("response", ndarray([[0.2, 0.8]], ["t0", "t1"])), ("feedback", feedback)):
            made = event(part, new, source["Ce-Inferenceservicename"], **headers)
            assert sender.send(made, body) == (200, b""), name
    sender.close()
    server.stop()

    for name in old_indices:
        documents = index.documents(name)
        assert {key: documents[key] for key in stored[name]} == stored[name]
        assert set(documents) == {*stored[name], (name, new)}
        ids = {"ids": {"values": [id for _, id in stored[name]]}}
        assert ask(index, name, ids) == before[name], name
        after = index.aggregate(name, {**QUERIES, "judged": {"sum": {"field": "metrics.correct"}}})
        counted = 0 if name in BOOLEAN else 1
        assert after["rewards"]["value"] == before[name]["rewards"]["value"] + counted, name
        assert after["with_feedback"]["doc_count"] == before[name]["with_feedback"]["doc_count"] + counted, name
        assert after["judged"]["value"] == 1
        assert index.aggregate(name, {"all": {"sum": {"field": "metrics.reward"}}})["all"]["value"] == 1


def test_rewards_and_metrics_where_both_are_boolean(
    sender: Sender, index: Index, deployment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Golden documents that made `feedback.reward` a boolean, and one of somebody's that did so to `metrics.reward`.

    A number goes into neither: it is beside them in the document, every other metric counts, and `check` tells of both.
    """
    name = f"inference-log-seldon-default-{deployment}-default"
    template = {"index_patterns": [name], "priority": 1001, "template": {}}
    assert index.request("PUT", "/_index_template/booleans", template) == {"acknowledged": True}
    golden = [document for old in sorted(BOOLEAN) for document in OLD[old] if "feedback" in document["source"]]
    assert golden
    for number, document in enumerate(golden):
        assert put(index, name, f"golden-{number}", document["source"])
    assert put(index, name, "somebodys", {**golden[0]["source"], "metrics": {"reward": True}})
    index.request("DELETE", "/_index_template/booleans")
    before = index.aggregate(name, QUERIES)
    kinds = index.request("GET", f"/{name}/_mapping")[name]["mappings"]["properties"]
    assert {kinds[part]["properties"]["reward"]["type"] for part in ("feedback", "metrics")} == {"boolean"}

    given = [(1, [0, 1]), (0.5, [0, 1]), (True, [1, 0])]
    for number, (reward, truth) in enumerate(given):
        made = {"reward": reward, "truth": {"data": {"ndarray": [truth]}}}
        for part, body in (("response", ndarray([[0.2, 0.8]], ["t0", "t1"])), ("feedback", json.dumps(made).encode())):
            sent = event(part, f"new-{number}", deployment, Ce_Namespace="default")
            assert sender.send(sent, body) == (200, b"")
    stored = index.documents(name)
    for number, (reward, _) in enumerate(given):
        document = stored[name, f"new-{number}"]
        assert expand(document["metrics"])["reward"] == float(reward)
        assert expand(document["feedback"])["reward"] == reward
        assert set(json.loads(document["metrics"]["unindexed"])) == {"reward"}
        assert "metrics.reward" in document["metrics"]["unindexed_reason"]
    asked = {
        "accuracy": {"avg": {"field": "metrics.correct"}},
        "loss": {"sum": {"field": "metrics.log_loss"}},
        "right": {"terms": {"field": "metrics.true_positive"}},
        "sum": {"sum": {"field": "metrics.reward"}},
    }
    answer = index.aggregate(name, {**asked, **QUERIES})
    assert answer["accuracy"]["value"] == pytest.approx(2 / 3, abs=1e-9)
    assert answer["loss"]["value"] == pytest.approx(-2 * math.log(0.8) - math.log(0.2), abs=1e-9)
    assert [(bucket["key"], bucket["doc_count"]) for bucket in answer["right"]["buckets"]] == [("t1", 2)]
    # Of somebody's document; no old figure has changed.
    assert answer["sum"]["value"] == 1
    assert {key: answer[key] for key in before} == before

    monkeypatch.setenv("ELASTICSEARCH_HOST", index.url)
    assert main(["check", "--json", name]) == 1
    (report,) = json.loads(capsys.readouterr().out)
    found = {finding["field"]: finding["needs_action"] for finding in report["findings"]}
    assert found["feedback.reward"]
    assert found["metrics.reward"]
