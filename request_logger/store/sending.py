"""Sends the writer's _bulk requests, and knows whether the engine answers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from request_logger.store.bulk import Outcome, Request, read_answer
from request_logger.store.change import StoreUnavailableError, TooBusyError, TooLargeError
from request_logger.store.sizes import BulkSizes
from request_logger.store.work import Engine, Observer, Slot

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0

Requests = Sequence[tuple[Slot, Request]]


class Sending:
    """For one thread; `down_since` and `down_for` may be read by any.

    ``made`` is told of each index that is written to for the first time.
    """

    def __init__(self, engine: Engine, observer: Observer, most_bytes: int, made: Callable[[str], object]) -> None:
        self._engine = engine
        self._observer = observer
        self._sizes = BulkSizes(most_bytes)
        self._made = made
        self._prepared: set[str] = set()
        self._pause = FIRST_PAUSE_SECONDS
        self.down_since: float | None = None

    @property
    def most_bytes(self) -> int:
        """How large the next _bulk may be."""
        return self._sizes.most_bytes

    @property
    def down_for(self) -> float:
        """Seconds for which the engine has not answered, 0 while it does."""
        since = self.down_since
        return 0.0 if since is None else time.monotonic() - since

    def send(self, requests: Requests) -> list[Outcome] | None:
        """Send the _bulk and give what became of each request, None where the engine doesn't say."""
        started = time.monotonic()
        body = b"".join(request.body for _, request in requests)
        try:
            for index in {slot.place for slot, _ in requests} - self._prepared:
                if self._engine.prepare(index):
                    self._prepared.add(index)
                    self._made(index)
            answer = self._engine.bulk(body)
        except TooLargeError as error:
            return self._send_halves(requests, len(body), str(error))
        except StoreUnavailableError as error:
            if isinstance(error, TooBusyError):
                self._sizes.too_busy(len(body))
            self.failed(error)
            return None
        self._sizes.taken()
        self.down_since = None
        self._pause = FIRST_PAUSE_SECONDS
        self._observer.bulk_sent(len(requests), len(body), time.monotonic() - started)
        return list(read_answer(answer))

    def _send_halves(self, requests: Requests, size: int, reason: str) -> list[Outcome]:
        """Send in halves what is too large for one _bulk."""
        if len(requests) == 1:
            return [Outcome("too large", reason=reason)]
        self._sizes.too_large(size)
        middle = len(requests) // 2
        outcomes: list[Outcome] = []
        for half in (requests[:middle], requests[middle:]):
            outcomes += self.send(half) or [Outcome("later", reason="no answer to a half")] * len(half)
        return outcomes

    def failed(self, error: StoreUnavailableError) -> None:
        """Note that the engine doesn't answer."""
        if self.down_since is None:
            self.down_since = time.monotonic()
        self._observer.happened("engine_down", "", str(error))

    def is_missing(self, index: str) -> None:
        """Note that an index is not there any more."""
        self._prepared.discard(index)

    def pause(self) -> float:
        """Give how long to wait for the engine (seconds): longer each time, until it answers."""
        pause = random.uniform(0, self._pause)  # noqa: S311
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        return pause
