"""Carries out plans against one engine, with threads: a core decides, this gives it time, tasks and answers.

Two threads take turns at the core: one prepares its request while the engine has the other's. A few more prepare new
indices, which may take long, so that nobody else waits for that. The lock is held while the core decides, never during
I/O. An exception in a round is an ordinary "no answer": it ends no thread.
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
from request_logger.store.writing.locator import Locator
from request_logger.store.writing.pending import Task
from request_logger.store.writing.ports import Degrade, Engine, Limits, Observer
from request_logger.store.writing.rounds import Bulk, Look, Round
from request_logger.store.writing.submission_queue import SubmissionQueue

log = logging.getLogger(__name__)

# After a bulk of several changes, for as many more: a larger bulk costs all sides less (docs/performance.md).
_LINGER_SECONDS = 0.003
_ROUNDS_AT_ONCE = 2
# More indices than that are rarely new at the same moment, and each holds a connection.
_PREPARATIONS_AT_ONCE = 4
# Nothing should be missed; what is, waits no longer than this.
_LONGEST_WAIT_SECONDS = 5.0
STUCK_SECONDS = 120.0
"""A thread that has not come back from a round for longer is stuck: four times the engine's default time limit."""


class Writer:
    """Carries out plans. Thread-safe; `close` waits for what is under way.

    ``looked_up`` is told of each search for documents with the number of gets and the seconds that it took.
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
        self._queue = SubmissionQueue(self._limits.max_pending_bytes)
        # Held while the core decides.
        self._deciding = threading.Lock()
        self._core = WriterCore(degrade, observer, self._limits, locator, self._queue.finished)
        # Held by the thread that waits for the next round's tasks.
        self._collecting = threading.Lock()
        self._expected = 1
        self._tokens: AbstractContextManager[object] = tokens or nullcontext()
        self._preparing = ThreadPoolExecutor(_PREPARATIONS_AT_ONCE, thread_name_prefix="store-preparing")
        # When each thread's round began; infinite for one that waits for work, however long that takes.
        self._busy_since = [math.inf] * _ROUNDS_AT_ONCE
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"store-writer-{number}", daemon=True)
            for number in range(_ROUNDS_AT_ONCE)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def down_for(self) -> float:
        """Seconds for which the engine has not answered, 0 while it does."""
        since = self._core.down_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def is_alive(self) -> bool:
        """Whether its threads run, and come back from their rounds in time."""
        latest = time.monotonic() - STUCK_SECONDS
        return all(thread.is_alive() for thread in self._threads) and min(self._busy_since) > latest

    def submit(self, plan: Plan, weight: int, then: Callable[[Future[Any]], None] | None = None) -> Future[Any]:
        """Carry out a plan; the future ends, with what it returns, when the engine has acknowledged all of it.

        ``weight`` is what it holds in memory (bytes), ``then`` is called at the end. The future fails with
        StoreUnavailableError or RejectedError.
        Raises StoreUnavailableError at once where too much waits already, or the engine has been down for long.
        """
        if self.down_for > self._limits.timeout_seconds:
            raise StoreUnavailableError("the engine does not answer")
        task = Task(plan, Future(then), weight, time.monotonic() + self._limits.timeout_seconds)
        self._queue.put(task)
        return task.end

    def close(self, timeout: float | None = None) -> None:
        """Finish what is under way (at most ``timeout`` seconds) and stop."""
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
                # What was under way in it is lost to this thread only where the core itself failed.
                log.error("a round of the writer failed: %s", type(error).__name__, exc_info=error)
                self._busy_since[number] = math.inf
                time.sleep(_LINGER_SECONDS)

    def _round(self, number: int) -> bool:
        """Carry out one round; return False at the end."""
        with ExitStack() as held:
            with self._collecting:
                wanted = self._collect(held)
            if wanted is None:
                return False
            self._busy_since[number] = started = time.monotonic()
            self._observer.waiting(self._queue.pending_bytes)
            answer = perform(self._engine, wanted)
        now = time.monotonic()
        if isinstance(wanted, Look):
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
        """Wait for what goes into the next round; None at the end. ``held`` is to be closed after it was sent."""
        while True:
            if not self._queue and not self._core.has_work:
                if self._queue.closing:
                    return None
                self._queue.wait(self._patience())
            if self._expected > 1:
                self._queue.linger(self._expected, _LINGER_SECONDS)
            if self._core.down_since is None:
                # What arrives while others have their turn goes into this round. An engine that is down delays nobody.
                held.enter_context(self._tokens)
            with self._deciding:
                now = time.monotonic()
                for task in self._queue.take():
                    self._core.start(task)
                wanted = self._core.next_round(now)
                preparations = self._core.preparations(now)
            for preparation in preparations:
                self._preparing.submit(self._prepare, preparation)
            if isinstance(wanted, Bulk):
                self._expected = sum(document.applied for document in wanted.documents)
            if wanted is not None:
                return wanted
            self._expected = 1
            held.close()
            if self._core.has_work:
                self._queue.wait(self._patience())

    def _patience(self) -> float:
        """Return how long to wait for tasks and answers (seconds) before looking again."""
        with self._deciding:
            now = time.monotonic()
            return min(self._core.wake_at(now) - now, _LONGEST_WAIT_SECONDS)

    def _prepare(self, preparation: Preparation) -> None:
        """Prepare an index, in a thread for that."""
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
