"""One set of predictions and feedback, in any order, with any repetition, through two servers at once: one result."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.deliveries import Deliveries, Traffic, deliver, feedback
from tests.helpers import Index, Server, index_of, ndarray
from tests.model import Store, without_times

pytestmark = pytest.mark.engine

NAMES = ["no", "yes"]


# (part, body, ce-time): two single predictions, one corrected, one whose truth is taken away; two batches.
TRAFFIC: Traffic = {
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


class OneIndex(Deliveries):
    """Without periods."""

    traffic = TRAFFIC

    def stored(self) -> Store:
        return without_times(self.index.documents(index_of(self.deployment)))


@pytest.fixture(scope="module")
def two_servers(make_server: Callable[..., Server], server: Server) -> Iterator[tuple[str, str]]:
    other = make_server()
    yield server.url, other.url
    other.stop()


def test_any_order_through_two_servers_gives_one_result(two_servers: tuple[str, str], index: Index) -> None:
    """The final documents are the same whatever came when, where and how often, and equal to the pure functions'."""
    deliver(OneIndex, two_servers, index, examples=25, steps=8)
