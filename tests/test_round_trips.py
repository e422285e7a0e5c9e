"""What an event costs: feedback at most two _bulk round trips, also on a server that has not seen its prediction."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.helpers import Sender, Server, event, ndarray
from tests.test_http import counted

pytestmark = pytest.mark.engine

SINGLE = [("request", ndarray([[1, 2]])), ("response", ndarray([[0.2, 0.8]]))]
BATCH = [("request", ndarray([[1], [2], [3]])), ("response", ndarray([[0.2, 0.8], [0.9, 0.1], [0.6, 0.4]]))]


@pytest.fixture(scope="module")
def other(make_server: Callable[..., Server]) -> Iterator[Server]:
    """A server of one worker that has seen none of the predictions."""
    server = make_server(GUNICORN_WORKERS="1")
    yield server
    server.stop()


def truth(values: list[int]) -> bytes:
    return json.dumps({"reward": 1, "truth": {"data": {"ndarray": values}}}).encode()


@pytest.mark.parametrize(
    ("stored", "feedback"),
    [
        pytest.param(SINGLE, truth([1]), id="single"),
        pytest.param(BATCH, truth([1, 0, 1]), id="batch"),
        pytest.param([], truth([1]), id="before its prediction"),
        pytest.param([], truth([1, 0, 1]), id="before its batch"),
    ],
)
def test_feedback_costs_at_most_two_bulk_requests(
    sender: Sender, other: Server, deployment: str, stored: list[tuple[str, bytes]], feedback: bytes
) -> None:
    """The prediction is stored by one server, the feedback comes to another: two round trips, no more."""
    for part, body in stored:
        sender.send(event(part, "r1", deployment), body)
    connection = Sender(other.url)
    # The first event of an index makes the worker look at it.
    connection.send(event("request", "r0", deployment), ndarray([[1]]))
    before = counted(other, "request_logger_bulk_seconds_count")
    assert connection.send(event("feedback", "r1", deployment), feedback)[0] == 200
    assert counted(other, "request_logger_bulk_seconds_count") - before <= 2
    connection.close()


def test_a_prediction_on_one_worker_costs_one_bulk_request_an_event(other: Server, deployment: str) -> None:
    """What a worker has just written it need not read again."""
    connection = Sender(other.url)
    connection.send(event("request", "r0", deployment), ndarray([[1]]))
    before = counted(other, "request_logger_bulk_seconds_count")
    for part, body in [*SINGLE, ("feedback", truth([1]))]:
        assert connection.send(event(part, "r1", deployment), body)[0] == 200
    assert counted(other, "request_logger_bulk_seconds_count") - before == 3
    connection.close()
