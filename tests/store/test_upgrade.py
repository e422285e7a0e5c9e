"""The image is swapped on indices that the original made: what notebooks ask gives the same before and after."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

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

    # Only now is there a logger of ours: it meets each index with the types that the original's had.
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
