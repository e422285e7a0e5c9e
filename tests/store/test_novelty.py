"""New documents are created, and where many were there after all, created or read; both ways end in one document."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from request_logger.store.bulk import Outcome
from request_logger.store.novelty import Novelty
from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.test_http import counted


def test_it_learns() -> None:
    """Some that were there change nothing; many do, and many new ones change it back. Failures say nothing."""
    novelty = Novelty()
    for kind in ("found", "conflict", "later", "refused"):
        novelty.learn(Outcome(kind))  # type: ignore[arg-type]
    assert novelty.is_likely
    for _ in range(20):
        novelty.learn(Outcome("conflict"))
    assert not novelty.is_likely
    for _ in range(200):
        novelty.learn(Outcome("done"))
    assert novelty.is_likely


@pytest.fixture(scope="module")
def other(make_server: Callable[..., Server]) -> Iterator[Server]:
    """A server of one worker that has seen none of the predictions."""
    server = make_server(GUNICORN_WORKERS="1")
    yield server
    server.stop()


@pytest.mark.engine
def test_a_request_that_comes_late_or_again(sender: Sender, other: Server, deployment: str, index: Index) -> None:
    """A request whose document another server has made joins it, and changes nothing the second time."""
    connection = Sender(other.url)
    bodies = {"request": ndarray([[1, 2]]), "response": ndarray([[0.2, 0.8]])}
    for number in range(30):
        sender.send(event("response", f"r{number}", deployment), bodies["response"])
    for number in [*range(30), *range(30)]:
        assert connection.send(event("request", f"r{number}", deployment), bodies["request"])[0] == 200
    # Created, which meets the response, then read, then written; after a while it is read at once.
    sent = counted(other, "request_logger_bulk_changes_sum")
    assert sent <= 30 * 3 + 30
    connection.close()
    documents = index.documents(index_of(deployment))
    assert len(documents) == 30
    assert all("request" in document and "response" in document for document in documents.values())
