"""How long events wait for others: the decision as a table, what is learned, and what a whole traffic gets of it."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator

import pytest

from request_logger.store.writing.linger import ENOUGH_EVENTS, Arrival, Linger, Queued, Traffic, learn, send_at

NOW = -math.inf
NEVER = math.inf
ENOUGH_BYTES = 1_000
LINGER = 0.1
ROUND_TRIP = 0.005


@pytest.mark.parametrize(
    ("queued", "in_flight", "traffic", "expected"),
    [
        # events, bytes, until, latest; in flight; at once, interval
        pytest.param(Queued(0, 0, NEVER, 5.0), 0, Traffic(1, 0.01), NEVER, id="there is nothing to send"),
        pytest.param(Queued(0, 0, NEVER, 5.0), 4, Traffic(4, 0.01), NEVER, id="all are in flight already"),
        pytest.param(Queued(1, 10, 5.1, 5.0), 1, Traffic(1, 0.01), NOW, id="a single sender waits for its answer"),
        pytest.param(Queued(3, 10, 5.1, 5.0), 3, Traffic(4, 0.01), 5.05, id="another sender is expected"),
        pytest.param(Queued(4, 10, 5.1, 5.0), 4, Traffic(4, 0.01), NOW, id="every sender waits"),
        pytest.param(Queued(1, 10, 5.1, 5.0), 4, Traffic(4, 0.01), NOW, id="the others wait for a request under way"),
        pytest.param(Queued(1, 10, 5.1, 5.0), 1, Traffic(4, 0.5), 5.1, id="the time is over before a pause is one"),
        pytest.param(Queued(1, 10, 5.1, 5.0), 1, Traffic(4, 1e-6), 5.003, id="a pause is no thread switch"),
        pytest.param(Queued(1, 10, 5.0, 5.0), 1, Traffic(4, 0.01), 5.0, id="off"),
        pytest.param(Queued(1, 1_000, 5.1, 5.0), 1, Traffic(4, 0.01), NOW, id="enough bytes"),
        pytest.param(Queued(ENOUGH_EVENTS, 10, 5.1, 5.0), 500, Traffic(900, 0.01), NOW, id="enough events"),
    ],
)
def test_when_to_send(queued: Queued, in_flight: int, traffic: Traffic, expected: float) -> None:
    """One row per reason to wait or to send."""
    assert send_at(queued, in_flight, traffic, ENOUGH_BYTES) == pytest.approx(expected)


@pytest.mark.parametrize(("at_once", "in_flight", "expected"), [(2, 1, 1), (10, 9, 9), (64, 4, 34), (5, 5, 5)])
def test_a_wait_in_vain_is_learned_from(at_once: int, in_flight: int, expected: int) -> None:
    """The difference is halved."""
    assert learn(at_once, in_flight) == expected


@pytest.mark.parametrize(
    ("arrival", "linger", "expected"),
    [(Arrival.ALONE, 0.1, 0.1), (Arrival.ALONE, 0, 0), (Arrival.IN_BULK, 0.1, 0.003), (Arrival.IN_BULK, 0, 0)],
)
def test_how_long_an_event_may_wait(arrival: Arrival, linger: float, expected: float) -> None:
    """Events that arrive in bulk wait for the others of their bulk alone."""
    assert arrival.wait_seconds(linger) == expected


class Writer:
    """The writer's use of `Linger` in virtual time: one request at a time, each with the same round trip."""

    def __init__(self, linger_seconds: float = LINGER) -> None:
        self.now = 0.0
        self.bulks: list[int] = []
        self.waits: list[float] = []
        """How long each event waited before it was sent (seconds)."""
        self._linger = Linger(10**9)
        self._seconds = linger_seconds
        self._queued: list[float] = []
        self._answer_at = NEVER
        self._sent = 0

    def arrive(self, now: float) -> None:
        """Queue an event at a time."""
        self.until(now)
        self._queued.append(now)
        self._linger.arrived(now, now + self._seconds, 1)
        self._send()

    def until(self, end: float) -> int:
        """Go on until a time; return the number of events that were answered."""
        answered = 0
        while (following := min(self._answer_at, max(self._due(), self.now))) <= end:
            self.now = following
            if self._answer_at <= following:
                self._answer_at = NEVER
                answered += self._sent
                for _ in range(self._sent):
                    self._linger.finished()
            self._send()
        self.now = max(self.now, end) if end < NEVER else self.now
        return answered

    def _due(self) -> float:
        return self._linger.send_at() if self._answer_at == NEVER else NEVER

    def _send(self) -> None:
        if self._due() <= self.now:
            self.waits += [self.now - arrived for arrived in self._queued]
            self.bulks.append(len(self._queued))
            self._sent, self._queued = len(self._queued), []
            self._linger.sent(self.now)
            self._answer_at = self.now + ROUND_TRIP


def test_a_single_sender_never_waits() -> None:
    """Whatever the pause between its events; also not after a time in which several sent."""
    writer, rng = Writer(), random.Random(1)
    for _ in range(20):
        for _ in range(10):
            writer.arrive(writer.now)
        writer.until(writer.now + 1.0)
    writer.waits.clear()
    for _ in range(200):
        writer.arrive(writer.now)
        while not writer.until(writer.now + ROUND_TRIP):
            pass
        writer.until(writer.now + rng.choice((0.0, 0.001, 0.02, 0.2)))
    # Until it is learned that the others are gone.
    in_vain = [number for number, wait in enumerate(writer.waits) if wait > 0]
    assert in_vain == list(range(len(in_vain)))
    assert len(in_vain) <= 4


def closed_loop(writer: Writer, connections: int, events: int) -> None:
    """Each connection sends its next event somewhat after the answer."""
    rng = random.Random(1)
    sending = [rng.random() * 0.01 for _ in range(connections)]
    heapq.heapify(sending)
    for _ in range(events):
        while not sending:
            answered = writer.until(writer.now + ROUND_TRIP / 10)
            for _ in range(answered):
                heapq.heappush(sending, writer.now + rng.random() * 0.001)
        # Only what was due meanwhile may be answered before the next event.
        following = heapq.heappop(sending)
        for _ in range(writer.until(following)):
            heapq.heappush(sending, writer.now + rng.random() * 0.001)
        writer.arrive(max(following, writer.now))


def test_senders_that_wait_for_answers_fill_each_bulk() -> None:
    """A bulk has one event per connection and is sent with the last of them, long before the time is over."""
    writer = Writer()
    closed_loop(writer, 16, 3_000)
    assert sum(writer.bulks[20:]) / len(writer.bulks[20:]) > 12
    assert sorted(writer.waits)[int(0.9 * len(writer.waits))] < LINGER / 10


def poisson(rate: float, seconds: float) -> Iterator[float]:
    """Yield the times of independent events."""
    rng, now = random.Random(2), 0.0
    while (now := now + rng.expovariate(rate)) < seconds:
        yield now


@pytest.mark.parametrize("rate", [50, 100, 500])
def test_independent_events_share_bulks(rate: float) -> None:
    """Almost half of the events that come within the time are in one bulk, and none waits for longer."""
    writer, plain = Writer(), Writer(linger_seconds=0.0)
    for now in poisson(rate, 60):
        writer.arrive(now)
        plain.arrive(now)
    for each in (writer, plain):
        each.until(61.0)
    assert sum(writer.bulks) / len(writer.bulks) > max(
        0.4 * (1 + rate * LINGER), 3 * sum(plain.bulks) / len(plain.bulks)
    )
    assert max(writer.waits) <= LINGER + ROUND_TRIP + 1e-9
    assert max(plain.waits) <= ROUND_TRIP + 1e-9


@pytest.mark.parametrize("rate", [20, 200])
def test_a_response_is_sent_with_its_request(rate: float) -> None:
    """It comes some milliseconds later: a prediction takes less than one bulk, and without waiting one or two."""
    writer, plain = Writer(), Writer(linger_seconds=0.0)
    requests = list(poisson(rate, 60))
    for now in sorted([*requests, *(now + 0.005 for now in requests)]):
        writer.arrive(now)
        plain.arrive(now)
    for each in (writer, plain):
        each.until(61.0)
    assert len(writer.bulks) < len(requests) < 2 * len(plain.bulks)
    assert 2 * len(writer.bulks) < len(plain.bulks)
