"""Group commit: all changes waiting in the process go out in one _bulk, and the next fills up meanwhile.

Two threads a process drive the plans: one prepares its _bulk while the engine has the other's. Never are two requests
for one document under way.

A document that is in the cache is written with its known version at once. One whose request comes together with others
of its changes is most likely new, and created. Any other, and one that was there after all, is created or read by an
update whose partial document is empty (``{"doc": {}, "upsert": ...}``): it answers with the stored document and its
version in the same round trip. Every write that follows is conditional on that version, so that writers on other
machines can't be overwritten; who loses the race reads and applies again. No scripts are used. Against blind partial
updates see docs/architecture.md.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

from request_logger.serialize import dumps, loads
from request_logger.store.arrivals import Arrivals
from request_logger.store.bulk import Outcome, Request
from request_logger.store.cache import Cache, Known
from request_logger.store.change import Document, Plan, RejectedError, StoreUnavailableError, unchanged
from request_logger.store.letter import dead_letter
from request_logger.store.novelty import Novelty
from request_logger.store.places import Places
from request_logger.store.promise import Promise
from request_logger.store.sending import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Sending
from request_logger.store.slots import Slots
from request_logger.store.turn import Turn
from request_logger.store.work import Engine, Limits, Observer, Refuse, Slot, Task

MAX_CHANGES = 1000
# After a bulk of several changes, for as many to come again: a larger one costs all sides less.
_LINGER_SECONDS = 0.003
_BULKS_AT_ONCE = 2


class Writer:
    """Carries out plans against one engine. Thread-safe; `close` waits for what is under way."""

    def __init__(
        self,
        engine: Engine,
        refuse: Refuse,
        observer: Observer,
        limits: Limits | None = None,
        turn: Turn | None = None,
        places: Places | None = None,
    ) -> None:
        self._engine = engine
        self._places = places
        self._refuse = refuse
        self._observer = observer
        self._limits = limits or Limits()
        self._cache = Cache(self._limits.cache_max_bytes)
        self._arrivals = Arrivals(self._limits.max_pending_bytes)
        # Who has it may look at the slots, and run plans.
        self._state = threading.Lock()
        self._slots = Slots()
        self._collecting = threading.Lock()
        self._expected = 1
        self._turn: AbstractContextManager[object] = turn or nullcontext()
        self._sending = Sending(engine, observer, self._limits.bulk_max_bytes, self._made)
        self._novelty = Novelty()
        threads = (threading.Thread(target=self._run, name="store-writer", daemon=True) for _ in range(_BULKS_AT_ONCE))
        self._threads = list(threads)
        for thread in self._threads:
            thread.start()

    @property
    def down_for(self) -> float:
        """Seconds for which the engine has not answered, 0 while it does."""
        return self._sending.down_for

    def submit(self, plan: Plan, weight: int, then: Callable[[Promise[Any]], None] | None = None) -> Promise[Any]:
        """Carry out a plan; the promise ends, with what it returns, when the engine has acknowledged all of it.

        ``weight`` is what it holds in memory (bytes), ``then`` is called at the end. The promise fails with
        StoreUnavailableError or RejectedError.
        Raises StoreUnavailableError at once where too much waits already, or the engine has been down for long.
        """
        if self.down_for > self._limits.timeout_seconds:
            raise StoreUnavailableError("the engine does not answer")
        task = Task(plan, Promise(then), weight, time.monotonic() + self._limits.timeout_seconds)
        self._arrivals.put(task)
        return task.end

    def close(self, timeout: float | None = None) -> None:
        """Finish what is under way (at most ``timeout`` seconds) and stop."""
        self._arrivals.close()
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            thread.join(None if deadline is None else max(deadline - time.monotonic(), 0))

    def _run(self) -> None:
        while True:
            with ExitStack() as turn:
                with self._collecting:
                    requests = self._collect(turn)
                if not requests:
                    return
                self._observer.waiting(self._arrivals.pending_bytes)
                outcomes = self._sending.send(requests)
            with self._state:
                self._slots.back(slot for slot, _ in requests)
                if outcomes is None:
                    self._drop_late()
                else:
                    for (slot, request), outcome in zip(requests, outcomes, strict=True):
                        self._handle(slot, request, outcome)
            self._observer.waiting(self._arrivals.pending_bytes)
            if self._slots.has_idle:
                self._arrivals.wake()
            if outcomes is None:
                time.sleep(self._sending.pause())

    def _collect(self, turn: ExitStack) -> list[tuple[Slot, Request]]:
        """Wait for what goes into the next _bulk; nothing at the end. ``turn`` is to be closed after it was sent."""
        while True:
            if not self._arrivals and not self._slots.has_idle:
                if self._arrivals.closing:
                    return []
                self._arrivals.wait(None if self._sending.down_since is None else LONGEST_PAUSE_SECONDS)
            if self._expected > 1:
                self._arrivals.linger(self._expected, _LINGER_SECONDS)
            if self._sending.down_since is None:
                # What arrives while others have their turn goes into this bulk. An engine that is down holds nobody up.
                turn.enter_context(self._turn)
            with self._state:
                self._take_arrived()
                requests, pause = self._next_requests()
                self._slots.sent(slot for slot, _ in requests)
            self._expected = sum(len(slot.applied) for slot, _ in requests)
            if requests:
                return requests
            turn.close()
            if pause:
                self._arrivals.wait(pause)

    def _made(self, index: str) -> None:
        if self._places is not None:
            with self._state:
                self._places.made(index)

    def _take_arrived(self) -> None:
        for task in self._arrivals.take():
            self._advance(task)
        if self._sending.down_since is not None and not self._slots and self._engine.ping():
            self._sending.down_since = None
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
            slot = self._slots.of(change.index, change.id, "" if self._places else change.index)
            slot.waiting.append((task, position, change))

    def _finish(self, task: Task, error: Exception | None = None, result: Any = None) -> None:
        if task.end.done():
            return
        self._arrivals.finished(task)
        if error is None:
            task.end.set_result(result)
        else:
            task.plan.close()
            task.end.set_exception(error)

    def _fail(self, task: Task, error: Exception) -> None:
        for slot in self._slots:
            slot.waiting = [entry for entry in slot.waiting if entry[0] is not task]
            slot.applied = [entry for entry in slot.applied if entry[0] is not task]
            if not slot.waiting:
                self._slots.forget(slot)
        self._finish(task, error)

    def _drop_late(self) -> None:
        now = time.monotonic()
        late = {
            id(task): (task, slot.delayed_by)
            for slot in self._slots.idle()
            for task, _, _ in slot.waiting
            if task.deadline < now
        }
        for task, reason in late.values():
            text = "the engine did not take it in time"
            self._fail(task, StoreUnavailableError(f"{text}: {reason}" if reason else text))

    def _next_requests(self) -> tuple[list[tuple[Slot, Request]], float]:
        """Choose what goes into the next _bulk; else how long to wait (seconds)."""
        if self._places is not None and not self._locate(self._places):
            return [], self._sending.pause()
        now = time.monotonic()
        requests: list[tuple[Slot, Request]] = []
        size = 0
        pause = LONGEST_PAUSE_SECONDS
        for slot in self._slots.idle():
            if slot.not_before > now:
                pause = min(pause, slot.not_before - now)
                continue
            request = self._request(slot) if slot.place and not slot.unsure else None
            if request is None:
                continue
            if requests and (len(requests) >= MAX_CHANGES or size + len(request.body) > self._sending.most_bytes):
                return requests, 0.0
            requests.append((slot, request))
            size += len(request.body)
        # A finished change may have queued its plan's next ones meanwhile.
        ready = any(slot.not_before <= now for slot in self._slots.idle())
        return requests, 0.0 if ready or not self._slots.has_idle else pause

    def _locate(self, places: Places) -> bool:
        """See to the slots' places; False where the engine doesn't answer."""
        now = time.monotonic()
        try:
            single, late = places.locate([slot for slot in self._slots.idle() if slot.not_before <= now], self._cache)
        except StoreUnavailableError as error:
            self._sending.failed(error)
            return False
        for slot in single:
            self._complete(slot, slot.sent)
        for slot, reason in late:
            self._later(slot, "retry", reason)
        return True

    def _request(self, slot: Slot) -> Request | None:
        """Make a slot's line of the _bulk; None where its changes are done without one, or can't be sent yet."""
        known = slot.known or self._cache.get(slot.index, slot.id)
        stored = loads(known.source) if known else None
        if known:
            slot.place = known.place
        wanted = self._apply(slot, self._places.merged(stored, slot.copies) if self._places and stored else stored)
        if not slot.waiting:
            self._slots.forget(slot)
            return None
        if slot.copies and (wanted is None or wanted == stored):
            slot.removing = True
            return Request.delete(slot.copies[0].place, slot.id, slot.copies[0])
        if wanted is None and known is None and self._places and self._places.is_spread(slot):
            if slot.looked:
                self._complete(slot, None)
            else:
                slot.lose()
            return None
        if known and wanted == stored and (slot.known or all(change.apply is unchanged for *_, change in slot.applied)):
            if slot.met:
                # It comes again, perhaps because who took it the first time was killed before the look.
                slot.met, slot.unsure, slot.sent = False, True, wanted
            else:
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
        return self._line(slot, known, stored, wanted)

    def _line(self, slot: Slot, known: Known | None, stored: Document | None, wanted: Document | None) -> Request:
        slot.sent = wanted
        if wanted is None:
            return Request.delete(slot.place, slot.id, known) if known else Request.read(slot.place, slot.id)
        if known and wanted == stored:
            # That a document is in the cache is no proof that it still is in the engine: an event that changes nothing
            # of it is acknowledged only when the engine says so.
            slot.checking = True
            return Request.read(slot.place, slot.id)
        source = dumps(wanted)
        if known:
            return Request.replace(slot.place, slot.id, known, source)
        slot.begun += 1
        # Of one change alone the others are on their way elsewhere, and a second round trip costs more than this saves.
        several = len(slot.applied) > 1 and not slot.there
        slot.first = several and any(change.first for *_, change in slot.applied)
        way = Request.create if slot.first and self._novelty.is_likely else Request.create_or_read
        return way(slot.place, slot.id, source)

    def _dead_letter(self, slot: Slot, document: Document) -> Request | None:
        """Put a document that its index refuses in every form into the dead-letter index."""
        if slot.buried:
            self._reject(slot)
            return None
        slot.sent = document
        slot.buried = True
        self._observer.happened("dead_letter", slot.index, slot.reasons[-1])
        return dead_letter(self._limits.dead_letter_index, slot, document)

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
        slot.reasons, slot.buried = [], False
        slot.lose()
        slot.again = False
        if not slot.waiting:
            self._slots.forget(slot)
        for task, position, _ in done:
            assert task.results is not None
            task.results[position] = document
            task.missing -= 1
            if task.missing == 0 and not task.end.done():
                self._advance(task)

    def _reject(self, slot: Slot) -> None:
        for task, _, _ in list(slot.waiting):
            self._fail(task, RejectedError(f"{slot.index}: {slot.reasons[-1]}"))

    def _handle(self, slot: Slot, request: Request, outcome: Outcome) -> None:
        if slot.first:
            self._novelty.learn(outcome)
            slot.first = False
        removing, slot.removing = slot.removing, False
        if removing and outcome.kind in ("done", "missing"):
            copy = slot.copies.pop(0)
            self._observer.happened("joined", slot.index, f"two documents, of {slot.place} and {copy.place}")
        elif outcome.kind == "missing" or (outcome.kind == "done" and request.action == "delete"):
            self._handle_missing(slot, request, outcome)
        elif outcome.kind == "done":
            self._handle_done(slot, request, outcome)
        elif outcome.kind == "found":
            assert outcome.version and outcome.source is not None
            slot.met = bool(self._places and request.source and self._places.is_spread(slot))
            slot.checking = False
            slot.known = Known(*outcome.version, dumps(outcome.source), slot.place)
            self._cache.put(slot.index, slot.id, slot.known)
        elif outcome.kind == "conflict":
            slot.there = True
            if request.action != "create":
                self._observer.happened("conflict", slot.index, outcome.reason)
            self._cache.forget(slot.index, slot.id)
            slot.lose()
        elif outcome.kind in ("refused", "too large"):
            slot.reasons.append(outcome.reason)
            self._observer.happened("refused", slot.index, outcome.reason)
            if outcome.kind == "too large":
                # No other form of it is smaller, and the dead-letter index would be asked to take the same.
                self._reject(slot)
        else:
            self._later(slot, "retry", outcome.reason)

    def _handle_missing(self, slot: Slot, request: Request, outcome: Outcome) -> None:
        self._cache.forget(slot.index, slot.id)
        if slot.checking:
            slot.checking = False
            slot.lose()
        elif request.action != "delete" and slot.sent is not None:
            self._sending.is_missing(slot.place)
            slot.lose()
            self._later(slot, "index_missing", outcome.reason)
        else:
            self._complete(slot, None)

    def _handle_done(self, slot: Slot, request: Request, outcome: Outcome) -> None:
        if slot.sent is not None and outcome.version and not slot.buried:
            slot.known = Known(*outcome.version, request.source, slot.place)
            self._cache.put(slot.index, slot.id, slot.known)
            begun = request.action in ("create", "update") or (slot.met and slot.begun > 1)
            slot.unsure = bool(self._places and begun and self._places.is_spread(slot))
            if slot.unsure or slot.copies:
                return
        self._complete(slot, slot.sent)

    def _later(self, slot: Slot, what: str, reason: str) -> None:
        self._observer.happened(what, slot.index, reason)
        slot.attempts += 1
        # Status and kind of error: what follows may quote the document.
        slot.delayed_by = ": ".join(reason.split(": ")[:2])[:300]
        bound = min(FIRST_PAUSE_SECONDS * 2**slot.attempts, LONGEST_PAUSE_SECONDS)
        slot.not_before = time.monotonic() + random.uniform(0, bound)  # noqa: S311
