"""One set of predictions and feedback, in any order, with any repetition, through two servers at once: one result."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from request_logger import events
from request_logger.settings import Settings
from tests.helpers import Index, Sender, Server, event, index_of, ndarray
from tests.model import Store, in_order, without_times

pytestmark = pytest.mark.engine

NAMES = ["no", "yes"]


def feedback(**fields: Any) -> bytes:
    truth = fields.pop("truth", None)
    return json.dumps({**fields, **({"truth": {"data": {"ndarray": truth}}} if truth is not None else {})}).encode()


# (part, body, ce-time): two single predictions, one corrected, one whose truth is taken away; two batches.
TRAFFIC: dict[str, list[tuple[str, bytes, str]]] = {
    "single": [
        ("request", ndarray([[1, 2]], ["a", "b"]), "2026-01-01T00:00:00.1Z"),
        ("response", ndarray([[0.2, 0.8]], NAMES), "2026-01-01T00:00:00.2Z"),
        ("feedback", feedback(reward=0, truth=[0], note="wrong"), "2026-01-02T00:00:00Z"),
        ("feedback", feedback(reward=1, truth=[1]), "2026-01-03T00:00:00Z"),
    ],
    "taken-away": [
        ("request", ndarray([[3, 4]], ["a", "b"]), "2026-01-01T00:00:01.1Z"),
        ("response", ndarray([[0.7, 0.3]], NAMES), "2026-01-01T00:00:01.2Z"),
        ("feedback", feedback(reward=1, truth=[0]), "2026-01-02T00:00:00Z"),
        ("feedback", feedback(reward=0.5), "2026-01-03T00:00:00Z"),
    ],
    "batch": [
        ("request", ndarray([[1, 2], [3, 4], [5, 6]], ["a", "b"]), "2026-01-01T00:00:02.1Z"),
        ("response", ndarray([[0.2, 0.8], [0.9, 0.1], [0.4, 0.6]], NAMES), "2026-01-01T00:00:02.2Z"),
        ("outlier", b'{"data": {"is_outlier": [1, 0, 1]}}', "2026-01-01T00:00:02.3Z"),
        ("feedback", feedback(reward=[1, 0, 0.5], truth=[1, 1, 1]), "2026-01-02T00:00:00Z"),
        ("feedback", feedback(truth=[0, 1]), "2026-01-03T00:00:00Z"),
    ],
    "orphan": [("feedback", feedback(reward=1), "2026-01-02T00:00:00Z")],
}
MESSAGES = [(request_id, *message) for request_id, messages in TRAFFIC.items() for message in messages]


def expected(deployment: str) -> Store:
    """What the pure functions make of the traffic, each event once and in its order."""
    made = []
    for request_id, part, body, time in MESSAGES:
        headers = {name.lower(): value for name, value in event(part, request_id, deployment, Ce_Time=time).items()}
        made.append(events.from_headers(headers, events.Body(body, "application/json", len(body)), Settings()))
    return in_order(made)


class Deliveries(RuleBasedStateMachine):
    """Sends events until each has been acknowledged at least once, then compares what the engine holds."""

    urls: tuple[str, ...]
    index: Index

    @initialize()
    def start(self) -> None:
        self.deployment = f"o-{uuid.uuid4().hex[:12]}"
        self.pool = ThreadPoolExecutor(16)
        self.sent: list[Future[tuple[int, bytes]]] = []
        self.delivered: set[int] = set()

    @rule(numbers=st.lists(st.integers(0, len(MESSAGES) - 1), min_size=1, max_size=12), first=st.integers(0, 1))
    def burst(self, numbers: list[int], first: int) -> None:
        """Several events at the same time, every other one to the other server."""
        for place, number in enumerate(numbers):
            self.sent.append(self.pool.submit(self.send, number, self.urls[(first + place) % 2]))
            self.delivered.add(number)

    @rule()
    def pause(self) -> None:
        """Wait until all that was sent is acknowledged."""
        assert {future.result() for future in self.sent} <= {(200, b"")}

    def send(self, number: int, url: str) -> tuple[int, bytes]:
        request_id, part, body, time = MESSAGES[number]
        sender = Sender(url)
        try:
            return sender.send(event(part, request_id, self.deployment, Ce_Time=time), body)
        finally:
            sender.close()

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        rest = [number for number in range(len(MESSAGES)) if number not in self.delivered]
        self.sent += [self.pool.submit(self.send, number, self.urls[number % 2]) for number in rest]
        statuses = {future.result() for future in self.sent}
        self.pool.shutdown()
        assert statuses <= {(200, b"")}
        found = without_times(self.index.documents(index_of(self.deployment)))
        assert found == expected(self.deployment)


@pytest.fixture(scope="module")
def two_servers(make_server: Callable[..., Server], server: Server) -> Iterator[tuple[str, str]]:
    other = make_server()
    yield server.url, other.url
    other.stop()


def test_any_order_through_two_servers_gives_one_result(two_servers: tuple[str, str], index: Index) -> None:
    """The final documents are the same whatever came when, where and how often, and equal to the pure functions'."""
    Deliveries.urls = two_servers
    Deliveries.index = index
    run_state_machine_as_test(
        Deliveries,
        settings=settings(
            max_examples=25, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
