"""Structured and batched CloudEvents: the same documents, and an answer for each event where not all can be stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.helpers import Index, Sender, event, index_of

pytestmark = pytest.mark.engine

STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCHED = {"Content-Type": "application/cloudevents-batch+json; charset=utf-8"}


def structured(part: str, request_id: str, deployment: str, data: Any) -> dict[str, Any]:
    headers = event(part, request_id, deployment)
    made = {name[3:].lower(): value for name, value in headers.items() if name.startswith("Ce-")}
    return {**made, "datacontenttype": "application/json", "data": data}


def traffic(deployment: str, request_id: str = "r1") -> list[dict[str, Any]]:
    return [
        structured("request", request_id, deployment, {"data": {"ndarray": [[1, 2]], "names": ["a", "b"]}}),
        structured("response", request_id, deployment, {"data": {"ndarray": [[0.2, 0.8]], "names": ["no", "yes"]}}),
        structured("feedback", request_id, deployment, {"reward": 1, "truth": {"data": {"ndarray": [1]}}}),
    ]


def test_structured_events_become_the_same_document(sender: Sender, index: Index, deployment: str) -> None:
    """Structured mode gives what binary mode gives."""
    for message in traffic(deployment):
        assert sender.send(STRUCTURED, json.dumps(message).encode()) == (200, b"")
    (document,) = index.documents(index_of(deployment)).values()
    assert document["request"]["elements"] == {"a": 1.0, "b": 2.0}
    assert document["request"]["ce-time"] == "2026-01-02T03:04:05.100Z"
    assert document["metrics"]["correct"] == 1


def test_a_batch_of_events_is_stored_whole(sender: Sender, index: Index, deployment: str) -> None:
    """Batched mode: 300 events in one request, 200 and empty, 100 scored documents."""
    events = [message for number in range(100) for message in traffic(deployment, f"b{number}")]
    assert sender.send(BATCHED, json.dumps(events).encode()) == (200, b"")
    documents = index.documents(index_of(deployment))
    assert len(documents) == 100
    assert {source["metrics"]["correct"] for source in documents.values()} == {1}


def test_a_batch_answers_for_each_event(sender: Sender, index: Index, deployment: str) -> None:
    """Where an event can't be taken, the others are stored and the answer says which and why."""
    good = traffic(deployment)
    bad = {"specversion": "1.0", "source": "s", "type": "io.seldon.serving.feedback", "data": {}}
    unknown = {**good[0], "type": "com.example.other"}
    status, body = sender.send(BATCHED, json.dumps([good[0], bad, unknown, good[1], 5]).encode())
    assert status == 207
    answers = json.loads(body)["events"]
    assert [answer["status"] for answer in answers] == [200, 400, 200, 200, 400]
    assert "id" in answers[1]["error"]
    (document,) = index.documents(index_of(deployment)).values()
    assert {"request", "response"} <= set(document)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param(STRUCTURED, b"{", id="no JSON"),
        pytest.param(STRUCTURED, b"[]", id="an array in structured mode"),
        pytest.param(BATCHED, b"{}", id="an object in batched mode"),
        pytest.param(
            STRUCTURED, b'{"id": "1", "type": "io.seldon.serving.feedback", "data_base64": 5}', id="no base64"
        ),
    ],
)
def test_what_is_no_cloudevent_is_named(sender: Sender, headers: dict[str, str], body: bytes) -> None:
    """400 with one line that says what was expected."""
    status, answer = sender.send(headers, body)
    assert status == 400
    assert "expected" in json.loads(answer)["error"]


def test_base64_data_is_decoded(sender: Sender, index: Index, deployment: str) -> None:
    """data_base64 (1.0) and datacontentencoding (0.3) carry bytes."""
    for request_id, attributes in (
        ("r1", {"data_base64": "eyJkYXRhIjp7Im5kYXJyYXkiOltbMV1dfX0="}),
        ("r2", {"datacontentencoding": "base64", "data": "eyJkYXRhIjp7Im5kYXJyYXkiOltbMV1dfX0="}),
    ):
        message = structured("request", request_id, deployment, None)
        del message["data"]
        message |= attributes
        assert sender.send(STRUCTURED, json.dumps(message).encode())[0] == 200
    documents = index.documents(index_of(deployment))
    assert [source["request"]["instance"] for source in documents.values()] == [[1.0], [1.0]]
