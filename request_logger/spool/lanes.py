"""Two replays of one spool: of new events, and of those that the store has not accepted. No threads.

Events that can't be stored for long, such as those of a blocked index, would otherwise delay all others.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from request_logger.spool.replay import Replay

# How long the next batch waits for the latest one: as long as a _bulk usually takes. A batch with events of a blocked
# index takes STORE_TIMEOUT_SECONDS.
_BATCH_SECONDS = 0.1
# Then failed events get their turn, and the spool's metrics are updated.
_BATCHES_AT_ONCE = 10
# The pause before events are retried; doubled after each attempt in which none was stored, up to the maximum.
_RETRY_SECONDS = 0.5
_MAX_RETRY_SECONDS = 10.0


class Lanes:
    """Replays new events batch by batch, and retries those that failed in a second lane. Not thread-safe.

    ``new`` begins a replay at the oldest event.
    """

    def __init__(self, new: Callable[[], Replay]) -> None:
        self._new = new
        self._first = new()
        self._retry: Replay | None = None
        self._retry_pause = _RETRY_SECONDS
        self._retry_at = 0.0
        self.has_more = False
        """Whether the latest `advance` ended before all events that were there had been submitted, until `finish`."""

    @property
    def is_done(self) -> bool:
        """Whether no event is in flight."""
        return self._first.is_done and (self._retry is None or self._retry.is_done)

    def advance(self, is_over: Callable[[], bool]) -> bool:
        """Replay events that are there, some batches; return False if none has left the spool, and none is in flight.

        It doesn't wait for events that take long, and ends early once ``is_over``. Raises sqlite3.Error and OSError.
        """
        before = self._first.count
        self.has_more = False
        for _ in range(_BATCHES_AT_ONCE):
            if is_over() or not self._first.begin():
                break
            self._wait(self._first, is_over)
            self._first.finish()
            if not self._first.is_full:
                # Events that arrive meanwhile are collected for the next time.
                break
        else:
            self.has_more = True
        retried = self._advance_retry(is_over)
        return self._first.count > before or retried or not self.is_done

    def finish(self) -> None:
        """Remove from the spool what was stored meanwhile. Raises sqlite3.Error and OSError."""
        self.has_more = False
        self._first.finish()
        if self._retry is not None:
            self._retry.finish()

    def _wait(self, replay: Replay, is_over: Callable[[], bool]) -> None:
        until = time.monotonic() + _BATCH_SECONDS
        while not replay.is_done and not is_over() and (left := until - time.monotonic()) > 0:
            replay.wait(left)

    def _advance_retry(self, is_over: Callable[[], bool]) -> bool:
        """Retry a batch of failed events; return whether one has left the spool."""
        if self._retry is None:
            if not self._first.failed or time.monotonic() < self._retry_at:
                return False
            self._first.failed = 0
            self._retry = self._new()
        before = self._retry.count
        if self._retry.begin(last=self._first.after, skip=self._first):
            self._wait(self._retry, is_over)
        self._retry.finish()
        retried = self._retry.count > before
        if not self._retry.is_full and self._retry.is_done:
            self._end_retry(self._retry)
        return retried

    def _end_retry(self, retry: Replay) -> None:
        """Plan the next attempt for what has failed again."""
        self._retry = None
        self._first.failed += retry.failed
        is_stuck = retry.failed and not retry.count
        self._retry_pause = min(2 * self._retry_pause, _MAX_RETRY_SECONDS) if is_stuck else _RETRY_SECONDS
        self._retry_at = time.monotonic() + random.uniform(self._retry_pause / 2, self._retry_pause)  # noqa: S311
