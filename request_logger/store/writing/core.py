"""The writer without threads, I/O and clock: accepts plans, returns the next request to send, and processes answers.

    core.start(task); wanted = core.next_round(now); core.answered(wanted, answer, now)

Several rounds may be in flight at a time, but never two for one document. `writer` drives the core with threads, the
tests' simulation drives it with a virtual clock. The tables in `states` decide what happens to a document; `steps`
builds its request.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable

from request_logger.store.changes import Document, RejectedError, StoreUnavailableError, UnreadableError
from request_logger.store.writing.backoff import Backoff
from request_logger.store.writing.bulk import Outcome
from request_logger.store.writing.bulk_sizes import BulkSizes
from request_logger.store.writing.create_policy import CreatePolicy
from request_logger.store.writing.index_states import Preparation
from request_logger.store.writing.locator import Locator
from request_logger.store.writing.outcomes import keep, learn, paused_as, types_of
from request_logger.store.writing.pending import ANY_NUMBER, Entry, PendingDocument, Task
from request_logger.store.writing.plan_runner import PlanRunner
from request_logger.store.writing.ports import Degrade, Limits, Observer
from request_logger.store.writing.round_builder import RoundBuilder
from request_logger.store.writing.rounds import Answer, Bulk, Failure, NoAnswer, Ping, Round
from request_logger.store.writing.schedule import Schedule
from request_logger.store.writing.states import Action, End, Kind, State, transition
from request_logger.store.writing.steps import Steps
from request_logger.store.writing.version_cache import VersionCache

log = logging.getLogger(__name__)

MAX_FAILURES = 5
"""How often a document's request may fail alone without a readable answer before its events fail."""
MAX_DOUBTS = 2
"""How often a document's request is sent again unchanged after it was refused as a whole, alone: a gateway may have
refused it, and the next form may lack what the search engine would accept. A document that the search engine refuses
waits 0.3 s at most."""
SLOW_SECONDS = 1.0
"""A _bulk that fails after a longer time has timed out; a refused connection fails at once."""
_ALONE = {Failure.TOO_LARGE: Kind.TOO_LARGE, Failure.REFUSED: Kind.REFUSED}
_COUNTED_AS = {
    Failure.UNAVAILABLE: "engine_down",
    Failure.TOO_BUSY: "engine_down",
    Failure.TOO_LARGE: "split",
    Failure.REFUSED: "split",
    Failure.UNREADABLE: "unreadable",
}


class WriterCore:
    """Decides which request to send next, and what an answer means for the documents in it.

    ``finished`` is called for each task that ends, before its future is completed. For one thread at a time: the writer
    holds its lock. Any thread may read ``down_since`` and ``has_work``.
    """

    def __init__(
        self,
        degrade: Degrade,
        observer: Observer,
        limits: Limits,
        locator: Locator | None = None,
        finished: Callable[[Task], None] = lambda task: None,
        rng: random.Random | None = None,
    ) -> None:
        self._observer = observer
        self._locator = locator
        rng = rng or random.Random()  # noqa: S311  # jitter needs no secrecy
        self._cache = VersionCache(limits.cache_max_bytes)
        self._policy = CreatePolicy()
        self._plans = PlanRunner(self._enqueue, self._release, finished)
        self._steps = Steps(degrade, limits, locator, self._policy, self._plans)
        self._dead_letter_index = limits.dead_letter_index
        self._schedule = Schedule(self._dead_letter_index, rng)
        self._index_states = self._schedule.index_states
        self._in_flight = 0
        self._sizes = BulkSizes(limits.bulk_max_bytes)
        self._builder = RoundBuilder(
            self._schedule, self._steps, self._sizes, self._dead_letter_index, self._end, self._fail_by_error
        )
        self._backoff = Backoff(rng)
        self._answered_at = -math.inf
        # When a preparation last failed: documents wait for it, so only a ping shows whether the search engine is down.
        self._doubted_at = -math.inf
        self.down_since: float | None = None
        """When the search engine stopped answering (core's clock), None while it answers."""

    def __len__(self) -> int:
        return len(self._schedule)

    @property
    def has_work(self) -> bool:
        """Whether a document is pending without a request in flight."""
        return len(self._schedule) > self._in_flight

    def is_ready(self, now: float) -> bool:
        """Return whether `next_round` or `preparations` has something to do now, even without a new task."""
        if self._plans.next_deadline() < now or self._index_states.next_preparation_at() <= now:
            return True
        is_more_to_send = self._builder.is_ready or self._is_in_doubt or self._schedule.wake_at() <= now
        return self._backoff.until <= now and is_more_to_send

    @property
    def _is_in_doubt(self) -> bool:
        """Whether a preparation has failed and no request was answered since."""
        return self.down_since is None and self._doubted_at > self._answered_at

    # Plans and their documents

    def start(self, task: Task) -> None:
        """Accept a plan, and queue its first changes."""
        self._plans.start(task)

    def _enqueue(self, entry: Entry) -> PendingDocument:
        key = (entry.change.index, entry.change.id)
        document = self._schedule.get(key)
        if document is None:
            document = PendingDocument(*key, State.LOCATED, entries=[entry])
            self._schedule.add(document)
            self._set_initial_state(document)
        else:
            document.entries.append(entry)
        document.live += 1
        return document

    def _set_initial_state(self, document: PendingDocument) -> None:
        """Set the state of a document by what the cache and the catalog know of it."""
        document.forget()
        document.attempts, document.doubts, document.delayed_by = 0, 0, ""
        locator = self._locator
        document.known = known = self._cache.get(*document.key)
        # The changes of commands have no day: they name the exact index.
        named = all(entry.change.day is None for entry in document.entries)
        document.is_multi_index = (
            locator is not None and not named and not locator.catalog.is_single_index(document.index)
        )
        document.target_index = "" if document.is_multi_index else document.index
        if document.index == self._dead_letter_index:
            # A dead letter that a plan stores itself. It is written like any other, and has no dead letter of its own.
            document.state = State.UNINDEXABLE
        elif known is not None:
            document.state, document.target_index = State.CACHED, known.index
        elif not document.is_multi_index:
            document.state = State.LOCATED
        else:
            document.state = State.RELOCATING if document.has_current_read() else State.UNLOCATED
        self._schedule.ready(document)

    def _release(self, document: PendingDocument) -> None:
        """Drop a document without changes, unless a request for it is in flight."""
        if document.live == 0 and document.action is None:
            self._schedule.remove(document)

    # Rounds

    def next_round(self, now: float) -> Round | None:
        """Return the next request to send, None if there is nothing to send now: see `wake_at`."""
        found = self._choose(now)
        # After the choice, so that late plans whose documents are sent now can finish: the events of a plan that is
        # half done would have to be sent again.
        self._plans.drop_late(now)
        return found

    def _choose(self, now: float) -> Round | None:
        if now < self._backoff.until:
            return None
        if self._is_in_doubt or (self.down_since is not None and not len(self._schedule)):
            self._doubted_at = -math.inf
            return Ping(now)
        self._schedule.wake(now)
        found = self._builder.next(now)
        self._in_flight += len(found.documents) if found is not None else 0
        return found

    def wake_at(self, now: float) -> float:
        """Return when to call `next_round` again after it returned None; infinite if only a task or an answer helps."""
        times = (
            self._plans.next_deadline(),
            self._index_states.next_preparation_at(),
            self._schedule.wake_at(),
            self._backoff.until,
        )
        # Everything due by now was processed, or waits for an answer.
        return min((time for time in times if time > now), default=math.inf)

    def preparations(self, now: float) -> list[Preparation]:
        """Return the indices to prepare; each is returned once until `prepared` is called for it."""
        return self._schedule.preparations(now)

    def prepared(self, index: str, done: bool | str, now: float) -> None:
        """Record the result of preparing an index: see IndexStates.prepared."""
        if done is True and self._locator is not None:
            self._locator.catalog.add(index)
        if isinstance(done, str):
            self._doubted_at = now
        self._schedule.prepared(index, done, now)

    # Answers

    def answered(self, wanted: Round, answer: Answer, now: float) -> None:
        """Process the answer to a round."""
        if isinstance(wanted, Bulk):
            self._builder.answer_received(wanted)
        if isinstance(answer, NoAnswer):
            self._unanswered(wanted, answer, now)
        elif answer is False:
            self._failed_to_answer(now)
        else:
            if self.down_since is not None:
                self._index_states.check_all_again()
            self._answered_at, self.down_since = now, None
            self._backoff.succeeded()
            if isinstance(wanted, Bulk):
                self._sizes.taken()
                self._observer.bulk_sent(len(wanted.documents), len(wanted.body), now - wanted.started)
            outcomes = self._steps.outcomes(wanted, answer, now)
            self._update_lanes(wanted, outcomes)
            for document, outcome in zip(wanted.documents, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    self._answer_received(document)
                    self._fail_by_error(document, outcome, now)
                else:
                    self._outcome(document, outcome, now)

    def abandon(self, wanted: Round, error: Exception, now: float) -> None:
        """Reschedule the documents of a round for which `answered` raised: a defect of this program.

        Those that it had processed by then are ended or scheduled. The one at which it raised is neither.
        """
        for document in wanted.documents:
            if document.action is not None:
                self._answer_received(document)
            elif self._schedule.get(document.key) is not document or self._schedule.has_scheduled(document):
                continue
            self._fail_by_error(document, error, now)

    def _update_lanes(self, wanted: Round, outcomes: list[Outcome | Exception]) -> None:
        """Isolate the indices that made a _bulk slow; release those that answer again."""
        if not isinstance(wanted, Bulk):
            return
        slow = {
            document.target(self._dead_letter_index)
            for document, outcome in zip(wanted.documents, outcomes, strict=True)
            if isinstance(outcome, Outcome) and outcome.is_slow
        }
        for index in slow:
            self._index_states.isolate(index)
        if wanted.lane and wanted.lane not in slow:
            for document in self._index_states.release_lane(wanted.lane):
                self._schedule.ready(document)

    def _answer_received(self, document: PendingDocument) -> None:
        document.action = None
        self._in_flight -= 1

    def _outcome(self, document: PendingDocument, outcome: Outcome, now: float) -> None:
        """Apply an outcome to a document: update what is known of it, and its state by the transition table."""
        action = document.action
        assert action is not None
        self._answer_received(document)
        document.failures, document.max_bulk_documents = 0, ANY_NUMBER
        if document.guesses_new:
            self._policy.learn(outcome.kind)
            document.guesses_new = False
        row = transition(document.state, action, outcome.kind)
        target = row.multi_index if document.is_multi_index and row.multi_index is not None else row.state
        happened = learn(document, action, outcome, self._cache)
        if happened:
            self._observer.happened(happened, document.index, outcome.reason)
        if outcome.kind is Kind.MISSING and action not in (Action.READ, Action.DELETE):
            self._index_states.missing(document.target(self._dead_letter_index))
        elif outcome.version is not None and outcome.kind is Kind.DONE and document.request is not None:
            self._index_states.stored(document.target(self._dead_letter_index), outcome.version[0])
        if row.forgets:
            self._cache.forget(*document.key)
            if isinstance(target, State):
                document.forget()
                document.target_index = "" if document.is_multi_index else document.index
                document.exists = outcome.kind is Kind.CONFLICT
        if document.live == 0:
            self._release(document)
        elif isinstance(target, End):
            self._end(document, target, document.wanted, outcome.reason)
        else:
            document.state = target or document.state
            if row.pauses:
                self._pause(document, paused_as(outcome), outcome.reason, now)
            else:
                self._schedule.ready(document)

    def _end(self, document: PendingDocument, end: End, wanted: Document | None, reason: str = "") -> None:
        """Deliver the result to the plans of the applied changes; continue with the changes queued meanwhile."""
        applied = [entry for entry in document.entries[: document.applied] if not entry.task.end.ended]
        document.entries = document.entries[document.applied :]
        document.applied = 0
        document.live -= len(applied)
        is_stored = end is End.FINISHED and wanted is not None and document.state is not State.UNINDEXABLE
        if is_stored and document.is_multi_index:
            keep(document, self._cache)
        if document.live:
            self._set_initial_state(document)
        else:
            self._release(document)
        text = f"{document.index}: {types_of(reason)}" if reason else document.index
        if end is End.FINISHED:
            self._plans.deliver(applied, wanted)
        elif end is End.UNREADABLE:
            self._plans.deliver_error(applied, UnreadableError(text))
        else:
            self._plans.reject(applied, RejectedError(text))

    def _unanswered(self, wanted: Round, answer: NoAnswer, now: float) -> None:
        """Reschedule the documents of a round that failed as a whole: they keep their states."""
        documents, failure = wanted.documents, answer.failure
        self._observer.happened(_COUNTED_AS[failure], "", answer.reason)
        if len(documents) == 1 and failure in _ALONE:
            self._refused_alone(documents[0], _ALONE[failure], answer.reason, now)
            return
        for document in documents:
            self._answer_received(document)
            # Another document of its plan may have ended its last change meanwhile.
            self._release(document)
        size = len(documents)
        documents = [document for document in documents if document.live]
        if failure in (Failure.UNAVAILABLE, Failure.TOO_BUSY):
            self._unavailable(wanted, failure, now)
            for document in documents:
                document.delayed_by = types_of(answer.reason)
                self._schedule.ready(document)
            return
        if failure is Failure.TOO_LARGE and isinstance(wanted, Bulk):
            self._sizes.too_large(len(wanted.body))
        for document in documents:
            document.max_bulk_documents = max(size // 2, 1)
            if failure is Failure.UNREADABLE:
                # It may have been written, but what the answer said about its index is lost.
                self._index_states.missing(document.target(self._dead_letter_index))
                self._failed(document, answer.reason, now, is_alone=size == 1)
            else:
                self._schedule.ready(document)

    def _refused_alone(self, document: PendingDocument, kind: Kind, reason: str, now: float) -> None:
        """Apply the refusal of a request with a single document; see `MAX_DOUBTS`."""
        # A dead letter has no content that could be refused, so the cause is the search engine or a proxy.
        is_letter = document.action is Action.STORE_DEAD_LETTER
        if kind is not Kind.REFUSED or not (is_letter or document.doubts < MAX_DOUBTS):
            self._outcome(document, Outcome(kind, reason=reason), now)
            return
        document.doubts += 1
        self._outcome(document, Outcome(Kind.LATER, reason=reason), now)
        # Others must not be refused with it once more.
        document.max_bulk_documents = 1

    def _unavailable(self, wanted: Round, failure: Failure, now: float) -> None:
        if isinstance(wanted, Bulk):
            if failure is Failure.TOO_BUSY:
                self._sizes.too_busy(len(wanted.body))
            elif now - wanted.started > SLOW_SECONDS:
                # One slow index delays a whole _bulk. Sent in separate lanes, only the slow one fails again.
                targets = {document.target(self._dead_letter_index) for document in wanted.documents}
                for index in targets if len(targets) > 1 else ():
                    self._index_states.isolate(index)
            if wanted.lane and self._answered_at > wanted.started:
                # Other requests were answered meanwhile: only this index is slow, and only its lane is retried.
                return
        self._failed_to_answer(now)

    def _failed_to_answer(self, now: float) -> None:
        self._backoff.failed(now)
        self.down_since = now if self.down_since is None else self.down_since

    def _pause(self, document: PendingDocument, what: str, reason: str, now: float) -> None:
        self._observer.happened(what, document.index, reason)
        self._schedule.pause(document, now, types_of(reason))

    def _fail_by_error(self, document: PendingDocument, error: Exception, now: float) -> None:
        log.error("a document of %s can't be written: %s", document.index, type(error).__name__, exc_info=error)
        self._failed(document, f"internal error: {type(error).__name__}", now)

    def _failed(self, document: PendingDocument, reason: str, now: float, *, is_alone: bool = True) -> None:
        """Retry a document later whose request had no readable answer, or could not be built.

        Only a failure of its own counts (``is_alone``: no other document was in the request). After `MAX_FAILURES` of
        them its events fail, so that one document never blocks the others.
        """
        if document.live == 0:
            self._release(document)
            return
        self._pause(document, "failed" if is_alone else "retry", reason, now)
        if not is_alone:
            return
        document.failures += 1
        if document.failures >= MAX_FAILURES:
            for entry in list(document.entries):
                self._plans.fail(entry.task, StoreUnavailableError(f"{document.index}: {types_of(reason)}"))
