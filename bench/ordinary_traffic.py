"""Ordinary traffic: a steady rate far below the logger's limit, in which each _bulk holds few events."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench import open_loop
from bench.probe import Sent
from bench.shapes import Shape

FEEDBACK_EVERY = 3


@dataclass(frozen=True, slots=True)
class Traffic:
    """The traffic. ``rate`` is in predictions per second; times are in seconds."""

    rate: float = 200.0
    seconds: float = 20.0
    connections: int = 10
    response_after: float = 0.005
    feedback_after: float = 6.0
    new_connections: float = 0.0
    timeout: float = 150.0

    @property
    def predictions(self) -> int:
        """The number of predictions."""
        return round(self.rate * self.seconds)

    def events(self, url: str, shape: Shape, deployment: str) -> list[open_loop.Due]:
        """Return the events of all predictions, and when they are due."""
        found = []
        for number in range(self.predictions):
            start = number / self.rate
            times = {"request": start, "response": start + self.response_after}
            if number % FEEDBACK_EVERY == 0:
                times["feedback"] = start + self.feedback_after
            found += [open_loop.Due(at, shape.event(url, deployment, number, part)) for part, at in times.items()]
        return found

    def send(self, url: str, events: Sequence[open_loop.Due]) -> Sent:
        """Send the events when they are due."""
        started = time.monotonic()
        answers = open_loop.send(
            url, events, connections=self.connections, timeout=self.timeout, new_connections=self.new_connections
        )
        acknowledged = [answer.key for answer in answers if answer.acknowledged]
        times = [answer.seconds for answer in answers]
        since_due = [answer.since_due for answer in answers]
        refused = Counter(answer.status for answer in answers if not answer.acknowledged)
        # Without the time in which only the last feedback is sent.
        seconds = max(time.monotonic() - started - self.feedback_after, self.seconds)
        return Sent(acknowledged, len(events), seconds, times, since_due, refused)
