"""Decides how long queued events wait for others before a _bulk is sent. Pure: no clock, no I/O.

A _bulk costs the search engine and this process almost as much with one event as with ten (docs/performance.md), and a
request whose response is queued a few milliseconds later is written together with it. Senders bound the wait: over
HTTP/1.1 a sender has one event in flight per connection, and sends no other before the answer. So the number of events
in flight at once is learned, not the number of open connections: Go's clients keep only two of their connections open
between two events, and open the others again for the next ones.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import NamedTuple

ENOUGH_EVENTS = 500
"""Events that are sent without waiting for more: each further one costs the same in this _bulk as in the next."""
SHORTEST_SILENCE_SECONDS = 0.003
"""A shorter pause between two events is none: it may be a thread switch, or a turn of the event loop."""
# Of independent events one in 150 comes after a longer pause (e^-5).
_SILENCE_INTERVALS = 5
# Weight of the latest interval in the moving average, which so covers about the last twenty (1 / 0.05).
_WEIGHT = 0.05
# A longer pause, such as a night, says nothing about the interval between events.
_LONGEST_INTERVAL_SECONDS = 1.0


class Arrival(Enum):
    """How an event arrives; this bounds how long it may wait for others."""

    # As members are equal only to themselves; Enum's own is a Python function that hashes the name.
    __hash__ = object.__hash__

    ALONE = "in a request of its own: others may follow over other connections"
    IN_BULK = "with others that are queued at once: a batch, the spool, Kafka, a command"

    def wait_seconds(self, linger_seconds: float) -> float:
        """Return how long an event may wait, where one that arrives alone may wait for ``linger_seconds``."""
        return linger_seconds if self is Arrival.ALONE else min(linger_seconds, SHORTEST_SILENCE_SECONDS)


class Queued(NamedTuple):
    """The events that wait. Times are in seconds by the caller's clock."""

    events: int
    bytes: int
    until: float
    """When the first of them has waited for as long as it may."""
    latest: float
    """When the latest of them arrived."""


class Traffic(NamedTuple):
    """What earlier events have shown."""

    at_once: int
    """How many events the senders have in flight at once: waiting here, or in a request to the search engine."""
    interval: float
    """The mean time between two events (seconds)."""


def send_at(queued: Queued, in_flight: int, traffic: Traffic, enough_bytes: int) -> float:
    """Return when to send the queued events: infinite if there are none, minus infinity for now.

    ``in_flight`` counts all events without an answer, including the queued ones.
    """
    if not queued.events:
        return math.inf
    if in_flight >= traffic.at_once or queued.events >= ENOUGH_EVENTS or queued.bytes >= enough_bytes:
        return -math.inf
    silence = max(_SILENCE_INTERVALS * traffic.interval, SHORTEST_SILENCE_SECONDS)
    return min(queued.until, queued.latest + silence)


def learn(at_once: int, in_flight: int) -> int:
    """Return the new `Traffic.at_once` after a wait that ended by time with only ``in_flight`` events.

    It halves the difference: one slow sender among many doesn't end the waiting of all, and where nobody else sends, a
    single wait shows it.
    """
    return in_flight + (at_once - in_flight) // 2


class Linger:
    """Counts the events of a queue and says when to send them. Not thread-safe, except for `finished`.

    ``enough_bytes``: that many bytes of bodies are sent without waiting for more.
    """

    def __init__(self, enough_bytes: int) -> None:
        self._enough_bytes = enough_bytes
        self._arrived = self._finished = 0
        self._events = self._bytes = 0
        self._until = math.inf
        self._latest = -math.inf
        self._at_once = 1
        self._interval = _LONGEST_INTERVAL_SECONDS

    @property
    def in_flight(self) -> int:
        """The number of events without an answer."""
        return self._arrived - self._finished

    @property
    def traffic(self) -> Traffic:
        """What the events so far have shown."""
        return Traffic(self._at_once, self._interval)

    def arrived(self, now: float, until: float, size: int) -> None:
        """Record an event of ``size`` bytes, which may wait ``until`` a time."""
        self._arrived += 1
        self._at_once = max(self._at_once, self._arrived - self._finished)
        self._interval += _WEIGHT * (min(now - self._latest, _LONGEST_INTERVAL_SECONDS) - self._interval)
        self._latest = now
        self._events += 1
        self._bytes += size
        self._until = min(self._until, until)

    def finished(self) -> None:
        """Record the answer to an event. For one thread at a time, which need not be that of the other methods."""
        self._finished += 1

    def send_at(self) -> float:
        """Return when to send the queued events: see the function `send_at`."""
        queued = Queued(self._events, self._bytes, self._until, self._latest)
        return send_at(queued, self.in_flight, self.traffic, self._enough_bytes)

    def sent(self, now: float) -> None:
        """Record that the queued events are sent, and learn from their wait."""
        if -math.inf < self.send_at() <= now:
            self._at_once = learn(self._at_once, self.in_flight)
        self._events = self._bytes = 0
        self._until = math.inf
