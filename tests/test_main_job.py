"""The main job through real HTTP and a real engine: predictions are logged, feedback is scored, aggregations answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.helpers import Index, Sender, event, index_of, ndarray

pytestmark = pytest.mark.engine

REQUEST = ndarray([[1, 2, 3, 4]], ["a", "b", "c", "d"])
RESPONSE = ndarray([[0.2, 0.7, 0.1]], ["t0", "t1", "t2"])
FEEDBACK = json.dumps({"reward": 1, "truth": {"data": {"ndarray": [[0, 1, 0]]}}}).encode()


def send_all(sender: Sender, deployment: str, *messages: tuple[str, bytes], request_id: str = "r1") -> None:
    for part, body in messages:
        assert sender.send(event(part, request_id, deployment), body) == (200, b"")


def only(index: Index, deployment: str) -> dict[str, Any]:
    documents = index.documents(index_of(deployment))
    assert list(documents) == [(index_of(deployment), "r1")]
    return documents[index_of(deployment), "r1"]


def test_pair_and_feedback_become_one_scored_document(sender: Sender, index: Index, deployment: str) -> None:
    """A request, its response and its feedback are one document, with metrics."""
    send_all(sender, deployment, ("request", REQUEST), ("response", RESPONSE), ("feedback", FEEDBACK))
    document = only(index, deployment)
    assert document["request"]["instance"] == [1.0, 2.0, 3.0, 4.0]
    assert document["request"]["elements"] == {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    assert document["response"]["instance"] == [0.2, 0.7, 0.1]
    assert document["feedback"]["reward"] == 1
    metrics = document["metrics"]
    assert (metrics["scorer"], metrics["basis"], metrics["correct"]) == ("multiclass", "truth", 1)
    assert (metrics["truth_label"], metrics["predicted_label"]) == ("t1", "t1")
    assert metrics["true_positive"] == ["t1"]
    assert metrics["reward_agrees"] is True


@pytest.mark.parametrize("order", ["frs", "fsr", "srf", "sfr", "rsf", "rfs"])
def test_order_and_repetition_do_not_matter(sender: Sender, index: Index, deployment: str, order: str) -> None:
    """Request, response (s) and feedback in any order, each sent twice, give the same document."""
    messages = {"r": ("request", REQUEST), "s": ("response", RESPONSE), "f": ("feedback", FEEDBACK)}
    send_all(sender, deployment, *[messages[letter] for letter in order for _ in range(2)])
    document = only(index, deployment)
    document["metrics"].pop("scored_at")
    assert document["@timestamp"] == "2026-01-02T03:04:05.100Z"
    assert set(document) >= {"request", "response", "feedback", "metrics"}
    assert document["metrics"]["correct"] == 1


@pytest.mark.parametrize("order", ["frs", "fsr", "srf", "sfr", "rsf", "rfs"])
def test_batch_rows_are_scored_each(sender: Sender, index: Index, deployment: str, order: str) -> None:
    """A batch is one document a row, whatever comes first, and its feedback goes to the rows: no stray document."""
    truth = {"reward": [1, 0, 0.5], "truth": {"data": {"ndarray": [1, 0, 2]}}}
    messages = {
        "r": ("request", ndarray([[1, 2], [3, 4], [5, 6]], ["a", "b"])),
        "s": ("response", ndarray([[0.1, 0.9, 0.0], [0.8, 0.1, 0.1], [0.5, 0.3, 0.2]], ["t0", "t1", "t2"])),
        "f": ("feedback", json.dumps(truth).encode()),
    }
    send_all(sender, deployment, *[messages[letter] for letter in order])
    documents = index.documents(index_of(deployment))
    assert sorted(id for _, id in documents) == ["r1-item-0", "r1-item-1", "r1-item-2"]
    rows = [documents[index_of(deployment), f"r1-item-{row}"] for row in range(3)]
    assert [row["RequestId"] for row in rows] == ["r1"] * 3
    assert [row["request"]["instance"] for row in rows] == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    assert [row["metrics"]["correct"] for row in rows] == [1, 1, 0]
    assert [row["feedback"]["reward"] for row in rows] == [1, 0, 0.5]
    assert rows[2]["metrics"]["false_negative"] == ["t2"]


def test_scalar_reward_of_a_batch_goes_to_every_row(sender: Sender, index: Index, deployment: str) -> None:
    """A reward without rows applies to each row."""
    send_all(
        sender,
        deployment,
        ("request", ndarray([[1], [2]])),
        ("response", ndarray([[7], [8]])),
        ("feedback", b'{"reward": 1}'),
    )
    documents = index.documents(index_of(deployment))
    assert sorted(id for _, id in documents) == ["r1-item-0", "r1-item-1"]
    assert [source["metrics"]["reward"] for source in documents.values()] == [1.0, 1.0]


def test_one_response_to_a_batch_joins_its_first_row(sender: Sender, index: Index, deployment: str) -> None:
    """Sizes that differ leave no stray document, whichever came first."""
    for request_id, order in (("x", "rs"), ("y", "sr")):
        messages = {"r": ("request", ndarray([[1], [2]], ["a"])), "s": ("response", ndarray([[7]], ["c"]))}
        send_all(sender, deployment, *[messages[letter] for letter in order], request_id=request_id)
    documents = index.documents(index_of(deployment))
    assert sorted(id for _, id in documents) == ["x-item-0", "x-item-1", "y-item-0", "y-item-1"]
    for request_id in "xy":
        assert documents[index_of(deployment), f"{request_id}-item-0"]["response"]["instance"] == [7.0]
        assert "response" not in documents[index_of(deployment), f"{request_id}-item-1"]


def test_corrected_feedback_replaces_the_earlier_whole(sender: Sender, index: Index, deployment: str) -> None:
    """A later feedback replaces the earlier one completely, and a duplicate of the earlier one changes nothing."""
    later = event("feedback", "r1", deployment, Ce_Time="2026-01-04T00:00:00Z")
    send_all(sender, deployment, ("request", REQUEST), ("response", RESPONSE), ("feedback", FEEDBACK))
    body = json.dumps({"truth": {"data": {"ndarray": [[1, 0, 0]]}}, "note": {"by": "me"}}).encode()
    assert sender.send(later, body)[0] == 200
    send_all(sender, deployment, ("feedback", FEEDBACK))
    document = only(index, deployment)
    assert "reward" not in document["feedback"]
    assert document["feedback"]["note"] == {"by": "me"}
    assert document["metrics"]["correct"] == 0
    assert "true_positive" not in document["metrics"]
    assert document["metrics"]["false_negative"] == ["t0"]


def test_notebook_queries(sender: Sender, index: Index, deployment: str) -> None:
    """The sum of the rewards and the count of documents with feedback are what users' queries have always given."""
    for number in range(20):
        send_all(sender, deployment, ("request", REQUEST), ("response", RESPONSE), request_id=f"n{number}")
    for number in range(12):
        feedback = json.dumps({"reward": [1, 1.0, True, "1", 0, False][number % 6]}).encode()
        send_all(sender, deployment, ("feedback", feedback), request_id=f"n{number}")
    answer = index.aggregate(
        index_of(deployment),
        {
            "rewards": {"sum": {"field": "feedback.reward"}},
            "with_feedback": {"filter": {"exists": {"field": "feedback.reward"}}},
        },
    )
    assert answer["rewards"]["value"] == 8
    assert answer["with_feedback"]["doc_count"] == 12
    assert index.count(index_of(deployment)) == 20


def test_two_deployments_in_one_index_keep_their_documents(sender: Sender, index: Index, deployment: str) -> None:
    """Where two deployments share an index, the same request id gives each its own document."""
    name = deployment.removeprefix("t-")
    first = event("request", "r1", f"t-{name}", Ce_Namespace="n")
    second = event("request", "r1", name, Ce_Namespace="n-t")
    for _ in range(2):
        assert sender.send(first, REQUEST)[0] == 200
        assert sender.send(second, ndarray([[9]]))[0] == 200
    documents = index.documents(f"inference-log-seldon-n-t-{name}-default")
    assert sorted(source["Ce-Namespace"] for source in documents.values()) == ["n", "n-t"]


def test_forged_row_id_overwrites_no_row(sender: Sender, index: Index, deployment: str) -> None:
    """A request id that looks like a row of a batch gets a separate document."""
    send_all(sender, deployment, ("request", ndarray([[1], [2]])))
    send_all(sender, deployment, ("request", ndarray([[99]])), request_id="r1-item-0")
    documents = index.documents(index_of(deployment))
    assert len(documents) == 3
    assert documents[index_of(deployment), "r1-item-0"]["request"]["instance"] == [1.0]
