"""New documents are created, and where many were there after all, created or read; both ways end in one document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from request_logger.store.writing.create_policy import CreatePolicy
from request_logger.store.writing.states import Kind
from tests.helpers import Index, Sender, Server, event, index_of
from tests.test_http import counted


def test_it_learns() -> None:
    """Some that were there change nothing; many do, and many new ones change it back. Failures say nothing."""
    policy = CreatePolicy()
    for kind in (Kind.FOUND, Kind.CONFLICT, Kind.LATER, Kind.REFUSED):
        policy.learn(kind)
    assert policy.is_likely
    for _ in range(20):
        policy.learn(Kind.CONFLICT)
    assert not policy.is_likely
    for _ in range(200):
        policy.learn(Kind.DONE)
    assert policy.is_likely


@pytest.fixture(scope="module")
def other(make_server: Callable[..., Server]) -> Iterator[Server]:
    """A server of one worker that has seen none of the predictions."""
    server = make_server(GUNICORN_WORKERS="1")
    yield server
    server.stop()


def structured(part: str, request_id: str, deployment: str, data: Any) -> dict[str, Any]:
    """The event of `event` as an entry of a batch."""
    headers = event(part, request_id, deployment)
    attributes = {name[3:].lower(): value for name, value in headers.items() if name.startswith("Ce-")}
    return {**attributes, "datacontenttype": "application/json", "data": data}


@pytest.mark.engine
def test_new_documents_that_are_there(sender: Sender, other: Server, deployment: str, index: Index) -> None:
    """Predictions whose feedback another server has stored join it, and duplicates change nothing."""
    connection = Sender(other.url)
    feedback = {"reward": 1, "truth": {"data": {"ndarray": [1]}}}
    for number in range(0, 60, 2):
        sender.send(event("feedback", f"r{number}", deployment), json.dumps(feedback).encode())
    bodies = {"request": [[1, 2]], "response": [[0.2, 0.8]]}
    events = [
        structured(part, f"r{number}", deployment, {"data": {"ndarray": rows}})
        for number in range(60)
        for part, rows in bodies.items()
    ]
    for first in [*range(0, 120, 20), *range(0, 120, 20)]:
        body = json.dumps(events[first : first + 20]).encode()
        assert connection.send({"Content-Type": "application/cloudevents-batch+json"}, body) == (200, b"")
    # At most: created, which meets the feedback, read, written; and asked once more whether it still is there.
    assert counted(other, "request_logger_bulk_changes_sum") <= 4 * 60
    connection.close()
    documents = index.documents(index_of(deployment))
    assert len(documents) == 60
    assert all("request" in document and "response" in document for document in documents.values())
    assert sum(document.get("metrics", {}).get("correct", 0) for document in documents.values()) == 30
