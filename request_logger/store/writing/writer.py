"""Runs plans against one search engine, with threads around the I/O-free core.

Two threads alternate: one prepares its request while the search engine processes the other's. A few more threads
prepare new indices, which may take long, so that documents of other indices don't wait. A lock guards the core; it is
never held during I/O. An exception in a round is treated as a missing answer: it ends no thread.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

from request_logger.store.changes import Plan, StoreUnavailableError
from request_logger.store.writing.bulk_sender import perform
from request_logger.store.writing.bulk_tokens import BulkTokens
from request_logger.store.writing.core import WriterCore
from request_logger.store.writing.future import Future
from request_logger.store.writing.index_states import Preparation
from request_logger.store.writing.linger import Arrival
from request_logger.store.writing.locator import Locator
from request_logger.store.writing.pending import Task
from request_logger.store.writing.ports import Degrade, Engine, Limits, Observer
from request_logger.store.writing.rounds import Lookup, Round
from request_logger.store.writing.submission_queue import SubmissionQueue, WaitEnd

log = logging.getLogger(__name__)

# A thread whose round failed goes on after a pause, so that a defect doesn't use a whole core.
_PAUSE_SECONDS = 0.003
# Events must be sent long before they are late: most of STORE_TIMEOUT_SECONDS is for the search engine.
_MOST_LINGER_SHARE = 0.25
_ROUNDS_AT_ONCE = 2
# More indices are rarely new at the same moment, and each preparation holds a connection.
_PREPARATIONS_AT_ONCE = 4
# A safety net: every event wakes the threads, and a missed one would be delayed no longer than this.
_LONGEST_WAIT_SECONDS = 5.0
STUCK_SECONDS = 120.0
"""A thread whose round takes longer is stuck: four times the default of ELASTICSEARCH_TIMEOUT_SECONDS."""


class Writer:
    """Runs plans, and completes their futures. Thread-safe; starts its threads at once, `close` ends them.

    ``looked_up`` is called for each lookup with its number of gets and its duration in seconds.
    """

    def __init__(
        self,
        engine: Engine,
        degrade: Degrade,
        observer: Observer,
        limits: Limits | None = None,
        tokens: BulkTokens | None = None,
        locator: Locator | None = None,
        looked_up: Callable[[int, float], None] = lambda gets, seconds: None,
    ) -> None:
        self._engine = engine
        self._observer = observer
        self._limits = limits or Limits()
        self._looked_up = looked_up
        linger = min(self._limits.linger_seconds, _MOST_LINGER_SHARE * self._limits.timeout_seconds)
        self._wait_seconds = {arrival: arrival.wait_seconds(linger) for arrival in Arrival}
        self._queue = SubmissionQueue(self._limits.max_pending_bytes, self._limits.bulk_max_bytes)
        # Guards the core.
        self._deciding = threading.Lock()
        self._core = WriterCore(degrade, observer, self._limits, locator, self._queue.finished)
        # Held by the one thread that collects tasks for the next round.
        self._collecting = threading.Lock()
        self._tokens: AbstractContextManager[object] = tokens or nullcontext()
        self._preparing = ThreadPoolExecutor(_PREPARATIONS_AT_ONCE, thread_name_prefix="store-preparing")
        # When each thread's round began; infinite while it waits for work.
        self._busy_since = [math.inf] * _ROUNDS_AT_ONCE
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"store-writer-{number}", daemon=True)
            for number in range(_ROUNDS_AT_ONCE)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def down_for(self) -> float:
        """How long the search engine hasn't answered (seconds), 0 while it answers."""
        since = self._core.down_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def is_alive(self) -> bool:
        """Whether its threads run, and finish their rounds in time."""
        latest = time.monotonic() - STUCK_SECONDS
        return all(thread.is_alive() for thread in self._threads) and min(self._busy_since) > latest

    def submit(
        self,
        plan: Plan,
        weight: int,
        then: Callable[[Future[Any]], None] | None = None,
        arrival: Arrival = Arrival.IN_BULK,
    ) -> Future[Any]:
        """Run a plan; the future ends with the plan's return value when the search engine has acknowledged all changes.

        ``weight`` is the plan's memory use (bytes), ``then`` is called at the end, ``arrival`` bounds how
        long it waits for others (`linger`). The future fails with StoreUnavailableError or RejectedError, or with what
        the plan raises. Raises StoreUnavailableError at once if
        the queue is full, or the search engine hasn't answered for longer than the time limit.
        """
        if self.down_for > self._limits.timeout_seconds:
            raise StoreUnavailableError("the engine does not answer")
        now = time.monotonic()
        task = Task(plan, Future(then), weight, now + self._limits.timeout_seconds, now + self._wait_seconds[arrival])
        self._queue.put(task, now)
        return task.end

    def close(self, timeout: float | None = None) -> None:
        """Refuse further plans, finish the submitted ones (at most ``timeout`` seconds), and stop the threads."""
        self._queue.close()
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            thread.join(None if deadline is None else max(deadline - time.monotonic(), 0))
        self._preparing.shutdown(wait=False, cancel_futures=True)

    def _run(self, number: int) -> None:
        while True:
            try:
                if not self._round(number):
                    return
            except Exception as error:
                # The documents of the round were rescheduled by `abandon`, if the core itself didn't fail.
                log.error("a round of the writer failed: %s", type(error).__name__, exc_info=error)
                self._busy_since[number] = math.inf
                time.sleep(_PAUSE_SECONDS)

    def _round(self, number: int) -> bool:
        """Run one round; return False when the writer is closed and has no work left."""
        with ExitStack() as held:
            with self._collecting:
                wanted = self._collect(held)
            if wanted is None:
                return False
            self._busy_since[number] = started = time.monotonic()
            self._observer.waiting(self._queue.pending_bytes)
            answer = perform(self._engine, wanted)
        now = time.monotonic()
        if isinstance(wanted, Lookup):
            self._looked_up(wanted.gets, now - started)
        with self._deciding:
            try:
                self._core.answered(wanted, answer, now)
            except Exception as error:
                self._core.abandon(wanted, error, now)
                raise
            finally:
                self._busy_since[number] = math.inf
        self._observer.waiting(self._queue.pending_bytes)
        if self._core.has_work:
            self._queue.wake()
        return True

    def _collect(self, held: ExitStack) -> Round | None:
        """Wait for the next round; None at the end. The caller closes ``held`` after the round was sent."""
        found_nothing = False
        while True:
            with self._deciding:
                now = time.monotonic()
                is_ready = not found_nothing and self._core.is_ready(now)
                until = min(self._core.wake_at(now), now + _LONGEST_WAIT_SECONDS)
            if not is_ready:
                if self._queue.closing and not self._queue and not self._core.has_work:
                    return None
                # While the search engine is down, tasks wait for it, and not for each other.
                if self._queue.wait(until, lingers=self._core.down_since is None) is WaitEnd.WOKEN:
                    found_nothing = False
                    continue
            if self._core.down_since is None:
                # Tasks that arrive while other processes hold the tokens join this round. While the search engine is
                # down, the thread doesn't wait for a token.
                held.enter_context(self._tokens)
            with self._deciding:
                now = time.monotonic()
                for task in self._queue.take():
                    self._core.start(task)
                wanted = self._core.next_round(now)
                preparations = self._core.preparations(now)
            for preparation in preparations:
                self._preparing.submit(self._prepare, preparation)
            if wanted is not None:
                return wanted
            found_nothing = True
            held.close()

    def _prepare(self, preparation: Preparation) -> None:
        """Prepare an index; runs in a thread of the pool."""
        done: bool | str
        try:
            if preparation.is_gone:
                self._engine.forget(preparation.index)
            done = self._engine.prepare(preparation.index)
        except StoreUnavailableError as error:
            done = str(error)
        except Exception as error:
            log.error("index %s could not be prepared: %s", preparation.index, type(error).__name__, exc_info=error)
            done = f"internal error: {type(error).__name__}"
        with self._deciding:
            self._core.prepared(preparation.index, done, time.monotonic())
        self._queue.wake()
