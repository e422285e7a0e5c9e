"""When messages may be sent again: the receiver's pauses, and each failed message's own. Pure code, times are given."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

# The first pause, doubled after each failure up to the longest.
_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 30.0
# With pauses of 0.5 to 30 s these are about five minutes, in which a receiver that takes others has not taken this one.
MOST_STRIKES = 20
"""Failures after which a message is given up. A failure counts only if another message was sent since the last one."""


def pause(failures: int) -> float:
    """Return the pause (seconds) after so many failures, with a random part so that processes don't retry together."""
    longest = min(_FIRST_SECONDS * 2 ** min(failures - 1, 16), _LONGEST_SECONDS)
    return random.uniform(longest / 2, longest)  # noqa: S311


class Circuit:
    """How many messages may be in flight: after several failures in a row only one, from time to time."""

    def __init__(self, most: int, patience: int) -> None:
        """``most`` may be in flight while the receiver works; after ``patience`` failures in a row it doesn't."""
        self._most = most
        self._patience = patience
        self._failures = 0
        self._pauses = 0
        self._closed_until = 0.0

    @property
    def is_failing(self) -> bool:
        """Whether the receiver seems not to work."""
        return self._failures >= self._patience

    def room(self, now: float, in_flight: int) -> int:
        """Return how many more messages may be sent now."""
        if now < self._closed_until:
            return 0
        return max((1 if self.is_failing else self._most) - in_flight, 0)

    def sent(self) -> None:
        """Note that the receiver took a message, or refused it: it works."""
        self._failures = self._pauses = 0
        self._closed_until = 0.0

    def failed(self, now: float, retry_after: float) -> None:
        """Note a failure."""
        self._failures += 1
        # Those that were in flight when the pause began tell nothing new.
        if self.is_failing and now >= self._closed_until:
            self._pauses += 1
            self._closed_until = now + pause(self._pauses)
        if retry_after:
            self._closed_until = max(self._closed_until, now + retry_after)


@dataclass(slots=True)
class _Failed:
    strikes: int
    sent_before: int


class Retries:
    """The messages that have failed, by number: when each is due, and whether it is given up."""

    def __init__(self) -> None:
        self._failed: dict[int, _Failed] = {}
        self._due: list[tuple[float, int]] = []
        self._sent = 0

    def __len__(self) -> int:
        return len(self._failed)

    def __contains__(self, number: object) -> bool:
        return number in self._failed

    def sent(self, number: int) -> None:
        """Note that a message was sent or refused."""
        self._sent += 1
        self._failed.pop(number, None)

    def failed(self, number: int, now: float) -> bool:
        """Note a failure and return True, or forget the message and return False where it is to be given up."""
        failed = self._failed.get(number)
        if failed is None:
            failed = self._failed[number] = _Failed(1, self._sent)
        elif self._sent > failed.sent_before:
            failed.strikes += 1
            failed.sent_before = self._sent
        if failed.strikes >= MOST_STRIKES:
            del self._failed[number]
            return False
        heapq.heappush(self._due, (now + pause(failed.strikes), number))
        return True

    def next_due(self, now: float) -> int | None:
        """Return a message that is due, once per failure; None where there is none."""
        return heapq.heappop(self._due)[1] if self._due and self._due[0][0] <= now else None

    def forget(self, number: int) -> None:
        """Drop a message that does not exist any more."""
        self._failed.pop(number, None)
