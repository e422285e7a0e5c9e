"""Group commit: all changes waiting in the process go out in one _bulk, and the next fills up meanwhile.

One thread a process drives the plans. A document that is in the cache is written with its known version at once. One
whose request comes together with others of its changes is most likely new, and created. Any other, and one that was
there after all, is created or read by an update whose partial document is empty (``{"doc": {}, "upsert": ...}``): it
answers with the stored document and its version in the same round trip. Every write that follows is conditional on
that version, so that writers on other machines can't be overwritten; who loses the race reads and applies again. No
scripts are used.

This differs from blind partial updates: it costs the engine less where the document is in the cache, and about as much
where it isn't (`python -m bench.writes`), and no merge can leave stale keys.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from request_logger.serialize import dumps, loads
from request_logger.store.bulk import Outcome, Request, read_answer
from request_logger.store.cache import Cache, Known
from request_logger.store.change import (
    Document,
    Plan,
    RejectedError,
    StoreUnavailableError,
    TooBusyError,
    TooLargeError,
    unchanged,
)
from request_logger.store.letter import dead_letter
from request_logger.store.novelty import Novelty
from request_logger.store.promise import Promise
from request_logger.store.sizes import BulkSizes
from request_logger.store.turn import Turn
from request_logger.store.work import Engine, Limits, Observer, Refuse, Slot, Task

MAX_CHANGES = 1000
# After a bulk of several changes: a short wait makes the next one larger, which costs all sides less.
_LINGER_SECONDS = 0.003
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0


class Writer:
    """Carries out plans against one engine. Thread-safe; `close` waits for what is under way."""

    def __init__(
        self, engine: Engine, refuse: Refuse, observer: Observer, limits: Limits | None = None, turn: Turn | None = None
    ) -> None:
        self._engine = engine
        self._refuse = refuse
        self._observer = observer
        self._limits = limits or Limits()
        self._cache = Cache(self._limits.cache_max_bytes)
        self._lock = threading.Condition()
        self._arrived: deque[Task] = deque()
        self._slots: dict[tuple[str, str], Slot] = {}
        self._prepared: set[str] = set()
        self._busy = False
        self._submitted_bytes = self._finished_bytes = 0
        self._closing = False
        self._turn: AbstractContextManager[object] = turn or nullcontext()
        self._down_since: float | None = None
        self._pause = _FIRST_PAUSE_SECONDS
        self._sizes = BulkSizes(self._limits.bulk_max_bytes)
        self._novelty = Novelty()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def pending_bytes(self) -> int:
        """Bytes of the bodies that wait for the engine."""
        return self._submitted_bytes - self._finished_bytes

    @property
    def down_for(self) -> float:
        """Seconds for which the engine has not answered, 0 while it does."""
        since = self._down_since
        return 0.0 if since is None else time.monotonic() - since

    def submit(self, plan: Plan, weight: int, then: Callable[[Promise[Any]], None] | None = None) -> Promise[Any]:
        """Carry out a plan; the promise ends, with what it returns, when the engine has acknowledged all of it.

        ``weight`` is what it holds in memory (bytes), ``then`` is called at the end. The promise fails with
        StoreUnavailableError or RejectedError.
        Raises StoreUnavailableError at once where too much waits already, or the engine has been down for long.
        """
        if self.down_for > self._limits.timeout_seconds:
            raise StoreUnavailableError("the engine does not answer")
        task = Task(plan, Promise(then), weight, time.monotonic() + self._limits.timeout_seconds)
        with self._lock:
            if self._closing:
                raise StoreUnavailableError("shutting down")
            pending = self.pending_bytes
            if pending and pending + weight > self._limits.max_pending_bytes:
                raise StoreUnavailableError("too much is waiting for the engine")
            self._submitted_bytes += weight
            self._arrived.append(task)
            self._lock.notify()
        return task.end

    def close(self, timeout: float | None = None) -> None:
        """Finish what is under way (at most ``timeout`` seconds) and stop."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._arrived and not self._slots:
                    if self._closing:
                        return
                    self._lock.wait(None if self._down_since is None else _LONGEST_PAUSE_SECONDS)
                    if self._down_since is not None:
                        break
            outcomes = None
            if self._busy:
                time.sleep(_LINGER_SECONDS)
            # What arrives while others have their turn goes into this bulk. An engine that is down holds nobody up.
            with self._turn if self._down_since is None else nullcontext():
                self._take_arrived()
                requests, pause = self._next_requests()
                self._busy = len(requests) > 1
                if requests:
                    outcomes = self._ask(requests)
            if outcomes is not None:
                for (slot, request), outcome in zip(requests, outcomes, strict=True):
                    self._handle(slot, request, outcome)
            elif requests:
                self._pause_while_down()
            elif pause:
                with self._lock:
                    if not self._arrived:
                        self._lock.wait(pause)

    def _take_arrived(self) -> None:
        with self._lock:
            arrived = list(self._arrived)
            self._arrived.clear()
        for task in arrived:
            self._advance(task)
        if self._down_since is not None and not self._slots and self._engine.ping():
            self._down_since = None
        self._drop_late()

    def _advance(self, task: Task) -> None:
        """Run a plan to its next changes, and queue them; finish the task where there are none."""
        results = task.results
        while True:
            try:
                changes = task.plan.send(results)  # type: ignore[arg-type]  # a fresh generator takes None
            except StopIteration as end:
                self._finish(task, result=end.value)
                return
            except Exception as error:
                self._finish(task, error)
                return
            if changes:
                break
            results = []
        task.results = [None] * len(changes)
        task.missing = len(changes)
        for position, change in enumerate(changes):
            slot = self._slots.setdefault((change.index, change.id), Slot(change.index, change.id))
            slot.waiting.append((task, position, change))

    def _finish(self, task: Task, error: Exception | None = None, result: Any = None) -> None:
        if task.end.done():
            return
        # Only the writer's own thread counts here, so that it needs no lock.
        self._finished_bytes += task.weight
        if error is None:
            task.end.set_result(result)
        else:
            task.plan.close()
            task.end.set_exception(error)

    def _fail(self, task: Task, error: Exception) -> None:
        for slot in list(self._slots.values()):
            slot.waiting = [entry for entry in slot.waiting if entry[0] is not task]
            slot.applied = [entry for entry in slot.applied if entry[0] is not task]
            if not slot.waiting:
                self._forget(slot)
        self._finish(task, error)

    def _drop_late(self) -> None:
        now = time.monotonic()
        late = {
            id(task): (task, slot.delayed_by)
            for slot in self._slots.values()
            for task, _, _ in slot.waiting
            if task.deadline < now
        }
        for task, reason in late.values():
            text = "the engine did not take it in time"
            self._fail(task, StoreUnavailableError(f"{text}: {reason}" if reason else text))

    def _next_requests(self) -> tuple[list[tuple[Slot, Request]], float]:
        """Choose what goes into the next _bulk; else how long to wait (seconds)."""
        now = time.monotonic()
        requests: list[tuple[Slot, Request]] = []
        size = 0
        pause = _LONGEST_PAUSE_SECONDS
        for slot in list(self._slots.values()):
            if slot.not_before > now:
                pause = min(pause, slot.not_before - now)
                continue
            request = self._request(slot)
            if request is None:
                continue
            if requests and (len(requests) >= MAX_CHANGES or size + len(request.body) > self._sizes.most_bytes):
                return requests, 0.0
            requests.append((slot, request))
            size += len(request.body)
        # A finished change may have queued its plan's next ones meanwhile.
        ready = any(slot.not_before <= now for slot in self._slots.values())
        return requests, 0.0 if ready or not self._slots else pause

    def _request(self, slot: Slot) -> Request | None:
        """Make a slot's line of the _bulk; None where its changes are done without one."""
        known = slot.known or self._cache.get(slot.index, slot.id)
        stored = loads(known.source) if known else None
        wanted = self._apply(slot, stored)
        if not slot.waiting:
            self._forget(slot)
            return None
        if known and wanted == stored and (slot.known or all(change.apply is unchanged for *_, change in slot.applied)):
            self._complete(slot, wanted)
            return None
        if wanted is not None and slot.reasons:
            less = self._refuse(wanted, slot.reasons)
            if less is None:
                return self._dead_letter(slot, wanted)
            if less == stored:
                self._complete(slot, less)
                return None
            wanted = less
        slot.sent = wanted
        if wanted is None:
            return Request.delete(slot.index, slot.id, known) if known else Request.read(slot.index, slot.id)
        if known and wanted == stored:
            # That a document is in the cache is no proof that it still is in the engine: an event that changes nothing
            # of it is acknowledged only when the engine says so.
            slot.checking = True
            return Request.read(slot.index, slot.id)
        source = dumps(wanted)
        if known:
            return Request.replace(slot.index, slot.id, known, source)
        # Of one change alone the others are on their way elsewhere, and a second round trip costs more than this saves.
        several = len(slot.applied) > 1 and not slot.there
        slot.first = several and any(change.first for *_, change in slot.applied)
        way = Request.create if slot.first and self._novelty.is_likely else Request.create_or_read
        return way(slot.index, slot.id, source)

    def _dead_letter(self, slot: Slot, document: Document) -> Request | None:
        """Put a document that its index refuses in every form into the dead-letter index."""
        if slot.buried:
            self._reject(slot)
            return None
        slot.sent = document
        slot.buried = True
        self._observer.happened("dead_letter", slot.index, slot.reasons[-1])
        letter = dead_letter(slot.index, slot.id, document, slot.reasons[-1])
        # By content, too: another part of the same document that is refused later gets a letter of its own.
        # Without metrics, which say when they were made; a letter that is tried again in vain is the same letter.
        content = {name: value for name, value in document.items() if name != "metrics"}
        digest = hashlib.sha256(dumps([slot.index, slot.id, content], sort_keys=True)).hexdigest()
        return Request.store(self._limits.dead_letter_index, digest, dumps(letter))

    def _apply(self, slot: Slot, stored: Document | None) -> Document | None:
        """Apply all waiting changes one after the other; one that fails takes only its own task with it."""
        document = stored
        for task, _, change in list(slot.waiting):
            try:
                document = change.apply(document)
            except Exception as error:
                self._fail(task, error)
        slot.applied = list(slot.waiting)
        return document

    def _complete(self, slot: Slot, document: Document | None) -> None:
        done, slot.applied = slot.applied, []
        slot.waiting = [entry for entry in slot.waiting if entry not in done]
        slot.known, slot.reasons, slot.buried = None, [], False
        if not slot.waiting:
            self._forget(slot)
        for task, position, _ in done:
            assert task.results is not None
            task.results[position] = document
            task.missing -= 1
            if task.missing == 0 and not task.end.done():
                self._advance(task)

    def _forget(self, slot: Slot) -> None:
        # Another may have taken its place since all of its own changes failed.
        if self._slots.get((slot.index, slot.id)) is slot:
            del self._slots[slot.index, slot.id]

    def _reject(self, slot: Slot) -> None:
        for task, _, _ in list(slot.waiting):
            self._fail(task, RejectedError(f"{slot.index}: {slot.reasons[-1]}"))

    def _ask(self, requests: list[tuple[Slot, Request]]) -> list[Outcome] | None:
        """Send the _bulk and give what became of each request, None where the engine doesn't say."""
        started = time.monotonic()
        body = b"".join(request.body for _, request in requests)
        try:
            for index in {slot.index for slot, _ in requests} - self._prepared:
                if self._engine.prepare(index):
                    self._prepared.add(index)
            answer = self._engine.bulk(body)
        except TooLargeError as error:
            return self._ask_in_halves(requests, len(body), str(error))
        except StoreUnavailableError as error:
            if isinstance(error, TooBusyError):
                self._sizes.too_busy(len(body))
            if self._down_since is None:
                self._down_since = time.monotonic()
            self._observer.happened("engine_down", "", str(error))
            return None
        self._sizes.taken()
        self._down_since = None
        self._pause = _FIRST_PAUSE_SECONDS
        self._observer.bulk_sent(len(requests), len(body), time.monotonic() - started)
        return list(read_answer(answer))

    def _ask_in_halves(self, requests: list[tuple[Slot, Request]], size: int, reason: str) -> list[Outcome]:
        """Send in halves what is too large for one _bulk."""
        if len(requests) == 1:
            return [Outcome("too large", reason=reason)]
        self._sizes.too_large(size)
        middle = len(requests) // 2
        outcomes: list[Outcome] = []
        for half in (requests[:middle], requests[middle:]):
            outcomes += self._ask(half) or [Outcome("later", reason="no answer to a half")] * len(half)
        return outcomes

    def _pause_while_down(self) -> None:
        self._drop_late()
        time.sleep(random.uniform(0, self._pause))  # noqa: S311
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)

    def _handle(self, slot: Slot, request: Request, outcome: Outcome) -> None:
        if slot.first:
            self._novelty.learn(outcome)
            slot.first = False
        if outcome.kind == "missing" or (outcome.kind == "done" and request.action == "delete"):
            self._cache.forget(slot.index, slot.id)
            slot.known = None
            if slot.checking:
                slot.checking = False
            elif request.action in ("create", "update") and slot.sent is not None:
                self._later(slot, "index_missing", outcome.reason)
                self._prepared.discard(slot.index)
            else:
                self._complete(slot, None)
        elif outcome.kind == "done":
            if slot.sent is not None and outcome.version and not slot.buried:
                self._cache.put(slot.index, slot.id, Known(*outcome.version, request.source))
            self._complete(slot, slot.sent)
        elif outcome.kind == "found":
            assert outcome.version and outcome.source is not None
            slot.checking = False
            slot.known = Known(*outcome.version, dumps(outcome.source))
            self._cache.put(slot.index, slot.id, slot.known)
        elif outcome.kind == "conflict":
            self._meet(slot, request, outcome)
        elif outcome.kind in ("refused", "too large"):
            slot.reasons.append(outcome.reason)
            self._observer.happened("refused", slot.index, outcome.reason)
            if outcome.kind == "too large":
                # No other form of it is smaller, and the dead-letter index would be asked to take the same.
                self._reject(slot)
        else:
            self._later(slot, "retry", outcome.reason)

    def _meet(self, slot: Slot, request: Request, outcome: Outcome) -> None:
        slot.there = True
        if request.action != "create":
            self._observer.happened("conflict", slot.index, outcome.reason)
        self._cache.forget(slot.index, slot.id)
        slot.known = None

    def _later(self, slot: Slot, what: str, reason: str) -> None:
        self._observer.happened(what, slot.index, reason)
        slot.attempts += 1
        # Status and kind of error: what follows may quote the document.
        slot.delayed_by = ": ".join(reason.split(": ")[:2])[:300]
        bound = min(_FIRST_PAUSE_SECONDS * 2**slot.attempts, _LONGEST_PAUSE_SECONDS)
        slot.not_before = time.monotonic() + random.uniform(0, bound)  # noqa: S311
