"""Messages that wait in memory, where there is no SPOOL_DIR: what waits when the process ends is lost."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from request_logger.forward.message import Message


class MemoryOutbox:
    """The waiting messages of one process, in order. Used by one thread, but for ``held_bytes``."""

    def __init__(self) -> None:
        self.held_bytes = 0
        """Estimated memory of all messages."""
        self._messages: dict[int, tuple[Message, float]] = {}
        self._new: deque[int] = deque()
        self._number = 0

    def add(self, messages: Sequence[Message]) -> list[Message]:
        """Add messages; return those that have no place now, which are none."""
        now = time.monotonic()
        for message in messages:
            self._number += 1
            self._messages[self._number] = (message, now)
            self._new.append(self._number)
            self.held_bytes += message.weight
        return []

    def next(self) -> tuple[int, Message] | None:
        """Return the oldest message that was not returned yet, with its number; None where there is none."""
        if not self._new:
            return None
        number = self._new.popleft()
        return number, self._messages[number][0]

    def get(self, number: int) -> Message | None:
        """Return a message that `next` has returned and that is to be sent again."""
        found = self._messages.get(number)
        return found[0] if found else None

    def put_back(self, number: int) -> None:
        """Do nothing: the message stays in memory."""

    def remove(self, number: int) -> None:
        """Remove a message that needs no further attempt."""
        message, _ = self._messages.pop(number)
        self.held_bytes -= message.weight

    def settle(self) -> None:
        """Do nothing: there is no disk to write to."""

    def waiting(self) -> tuple[int, int, float]:
        """Return how many messages wait, their bytes, and the age of the oldest (seconds)."""
        if not self._messages:
            return 0, 0, 0.0
        _, oldest = next(iter(self._messages.values()))
        return len(self._messages), self.held_bytes, time.monotonic() - oldest

    def close(self) -> None:
        """Do nothing: there is no file to close."""
