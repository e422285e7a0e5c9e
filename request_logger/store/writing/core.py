"""The writer without threads, I/O and clock: takes plans, says what to ask the engine, and takes its answers.

    core.start(task); wanted = core.next_round(now); core.answered(wanted, answer, now)

Several rounds may be under way at a time, never two for one document. `writer` drives it with threads, the simulation
of the tests with a virtual clock. What happens to a document is decided by the tables in `states`; its request is made
by `steps`.
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
from request_logger.store.writing.outcomes import keep, learn, types_of
from request_logger.store.writing.pending import ANY_NUMBER, Entry, PendingDocument, Task
from request_logger.store.writing.plan_runner import Tasks
from request_logger.store.writing.ports import Degrade, Limits, Observer
from request_logger.store.writing.round_builder import RoundBuilder
from request_logger.store.writing.rounds import Answer, Bulk, Failure, NoAnswer, Ping, Round
from request_logger.store.writing.schedule import Waiting
from request_logger.store.writing.states import Action, End, Kind, State, transition
from request_logger.store.writing.steps import Steps
from request_logger.store.writing.version_cache import VersionCache

log = logging.getLogger(__name__)

MAX_FAILURES = 5
"""So often a document's request may fail alone without a readable answer before its events fail."""
SLOW_SECONDS = 1.0
"""A _bulk that failed after a longer time has failed by a time limit, not because nothing listens."""
_ALONE = {Failure.TOO_LARGE: Kind.TOO_LARGE, Failure.REFUSED: Kind.REFUSED}
_COUNTED_AS = {
    Failure.UNAVAILABLE: "engine_down",
    Failure.TOO_BUSY: "engine_down",
    Failure.TOO_LARGE: "split",
    Failure.REFUSED: "split",
    Failure.UNREADABLE: "unreadable",
}


class WriterCore:
    """For one thread at a time; ``down_since`` and ``has_work`` may be read by any.

    ``finished`` is told of each task that has ended, before its future is.
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
        self._tasks = Tasks(self._enqueue, self._release, finished)
        self._steps = Steps(degrade, limits, locator, self._policy, self._tasks)
        self._letters = limits.dead_letter_index
        self._waiting = Waiting(self._letters, rng)
        self._index_states = self._waiting.index_states
        self._under_way = 0
        self._sizes = BulkSizes(limits.bulk_max_bytes)
        self._builder = RoundBuilder(
            self._waiting, self._steps, self._sizes, self._letters, self._end, self._fail_by_error
        )
        self._backoff = Backoff(rng)
        self._answered_at = -math.inf
        self.down_since: float | None = None
        """When the engine stopped answering, None while it answers."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_work(self) -> bool:
        """Whether documents wait for something else than an answer."""
        return len(self._waiting) > self._under_way

    # Plans and their documents

    def start(self, task: Task) -> None:
        """Take a plan."""
        self._tasks.start(task)

    def _enqueue(self, entry: Entry) -> PendingDocument:
        key = (entry.change.index, entry.change.id)
        document = self._waiting.get(key)
        if document is None:
            document = PendingDocument(*key, State.PLACED, entries=[entry])
            self._waiting.add(document)
            self._begin(document)
        else:
            document.entries.append(entry)
        document.live += 1
        return document

    def _begin(self, document: PendingDocument) -> None:
        """Give a document the state that follows from what is known of it without asking."""
        document.forget()
        document.attempts, document.delayed_by = 0, ""
        locator = self._locator
        document.known = known = self._cache.get(*document.key)
        # A tool's change has no day: it names the very index.
        named = all(entry.change.day is None for entry in document.entries)
        document.is_multi_index = locator is not None and not named and not locator.catalog.is_alone(document.index)
        document.target_index = "" if document.is_multi_index else document.index
        if document.index == self._letters:
            # A plan's own dead letter: it is stored as any other, and has no letter in its turn.
            document.state = State.UNINDEXABLE
        elif known is not None:
            document.state, document.target_index = State.CACHED, known.index
        elif not document.is_multi_index:
            document.state = State.PLACED
        else:
            document.state = State.LOST if document.has_current_read() else State.UNPLACED
        self._waiting.ready(document)

    def _release(self, document: PendingDocument) -> None:
        """Drop a document that has no change any more, unless a request for it is under way."""
        if document.live == 0 and document.action is None:
            self._waiting.remove(document)

    # Rounds

    def next_round(self, now: float) -> Round | None:
        """Return what to ask the engine next, None where there is nothing now: see `wake_at`."""
        found = self._choose(now)
        # Those whose documents go out now are let finish: what is half done would have to be found and finished again.
        self._tasks.drop_late(now)
        return found

    def _choose(self, now: float) -> Round | None:
        if now < self._backoff.until:
            return None
        if self.down_since is not None and not len(self._waiting):
            return Ping(now)
        self._waiting.wake(now)
        found = self._builder.next(now)
        self._under_way += len(found.documents) if found is not None else 0
        return found

    def wake_at(self, now: float) -> float:
        """Return when to look again after `next_round` had nothing; infinite where only a task or an answer helps."""
        times = (
            self._tasks.next_deadline(),
            self._index_states.next_preparation_at(),
            self._waiting.wake_at(),
            self._backoff.until,
        )
        # What was due by now has been seen to, or waits for an answer.
        return min((time for time in times if time > now), default=math.inf)

    def preparations(self, now: float) -> list[Preparation]:
        """Return the indices to prepare; each until `prepared` says what came of it."""
        return self._waiting.preparations(now)

    def prepared(self, index: str, done: bool | str, now: float) -> None:
        """Note what came of the preparation of an index: see IndexStates.prepared."""
        if done is True and self._locator is not None:
            self._locator.catalog.made(index)
        self._waiting.prepared(index, done, now)

    # Answers

    def answered(self, wanted: Round, answer: Answer, now: float) -> None:
        """Take the answer to a round."""
        if isinstance(wanted, Bulk):
            self._builder.is_back(wanted)
        if isinstance(answer, NoAnswer):
            self._unanswered(wanted, answer, now)
        elif answer is False:
            self._backoff.failed(now)
        else:
            if self.down_since is not None:
                self._index_states.all_doubtful()
            self._answered_at, self.down_since = now, None
            self._backoff.succeeded()
            if isinstance(wanted, Bulk):
                self._sizes.taken()
                self._observer.bulk_sent(len(wanted.documents), len(wanted.body), now - wanted.started)
            outcomes = self._steps.outcomes(wanted, answer, now)
            self._judge(wanted, outcomes)
            for document, outcome in zip(wanted.documents, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    self._back(document)
                    self._fail_by_error(document, outcome, now)
                else:
                    self._outcome(document, outcome, now)

    def abandon(self, wanted: Round, error: Exception, now: float) -> None:
        """Take back the documents of a round of which `answered` has failed: a mistake in this program."""
        for document in wanted.documents:
            if document.action is not None:
                self._back(document)
                self._fail_by_error(document, error, now)

    def _judge(self, wanted: Round, outcomes: list[Outcome | Exception]) -> None:
        """Give the indices that made a _bulk slow a lane of their own; take it from those that answer again."""
        if not isinstance(wanted, Bulk):
            return
        guilty = {
            document.target(self._letters)
            for document, outcome in zip(wanted.documents, outcomes, strict=True)
            if isinstance(outcome, Outcome) and outcome.is_trouble
        }
        for index in guilty:
            self._index_states.suspect(index)
        if wanted.lane and wanted.lane not in guilty:
            for document in self._index_states.acquit(wanted.lane):
                self._waiting.ready(document)

    def _back(self, document: PendingDocument) -> None:
        document.action = None
        self._under_way -= 1

    def _outcome(self, document: PendingDocument, outcome: Outcome, now: float) -> None:
        """Let an outcome change a document's state, as the tables say."""
        action = document.action
        assert action is not None
        self._back(document)
        document.failures, document.most_beside = 0, ANY_NUMBER
        if document.guesses_new:
            self._policy.learn(outcome.kind)
            document.guesses_new = False
        row = transition(document.state, action, outcome.kind)
        target = row.spread if document.is_multi_index and row.spread is not None else row.state
        happened = learn(document, action, outcome, self._cache)
        if happened:
            self._observer.happened(happened, document.index, outcome.reason)
        if outcome.kind is Kind.MISSING and action not in (Action.READ, Action.DELETE):
            self._index_states.missing(document.target(self._letters))
        elif outcome.version is not None and outcome.kind is Kind.DONE and document.request is not None:
            self._index_states.stored(document.target(self._letters), outcome.version[0])
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
                self._pause(document, "index_missing" if outcome.kind is Kind.MISSING else "retry", outcome.reason, now)
            else:
                self._waiting.ready(document)

    def _end(self, document: PendingDocument, end: End, wanted: Document | None, reason: str = "") -> None:
        """Give the changes that were applied to their plans; go on with those that came meanwhile."""
        applied = [entry for entry in document.entries[: document.applied] if not entry.task.end.done()]
        document.entries = document.entries[document.applied :]
        document.applied = 0
        document.live -= len(applied)
        is_stored = end is End.FINISHED and wanted is not None and document.state is not State.UNINDEXABLE
        if is_stored and document.is_multi_index:
            keep(document, self._cache)
        if document.live:
            self._begin(document)
        else:
            self._release(document)
        text = f"{document.index}: {types_of(reason)}"
        if end is End.FINISHED:
            self._tasks.deliver(applied, wanted)
        elif end is End.UNREADABLE:
            self._tasks.deliver_error(applied, UnreadableError(text))
        else:
            self._tasks.reject(applied, RejectedError(text))

    def _unanswered(self, wanted: Round, answer: NoAnswer, now: float) -> None:
        """See to the documents of a round that failed whole: they keep their states."""
        documents, failure = wanted.documents, answer.failure
        self._observer.happened(_COUNTED_AS[failure], "", answer.reason)
        if len(documents) == 1 and failure in _ALONE:
            kind = _ALONE[failure]
            if kind is Kind.REFUSED and documents[0].action is Action.STORE_LETTER:
                # A letter has nothing that could be refused: the engine, or what is in front of it, is at fault.
                kind = Kind.LATER
            self._outcome(documents[0], Outcome(kind, reason=answer.reason), now)
            return
        for document in documents:
            self._back(document)
            # Another document of its plan may have ended its last change meanwhile.
            self._release(document)
        size = len(documents)
        documents = [document for document in documents if document.live]
        if failure in (Failure.UNAVAILABLE, Failure.TOO_BUSY):
            self._unavailable(wanted, failure, now)
            for document in documents:
                document.delayed_by = types_of(answer.reason)
                self._waiting.ready(document)
            return
        if failure is Failure.TOO_LARGE and isinstance(wanted, Bulk):
            self._sizes.too_large(len(wanted.body))
        for document in documents:
            document.most_beside = max(size // 2, 1)
            if failure is Failure.UNREADABLE:
                self._unreadable(document, size == 1, answer.reason, now)
            else:
                self._waiting.ready(document)

    def _unreadable(self, document: PendingDocument, is_alone: bool, reason: str, now: float) -> None:
        # It may have been written, and what the answer said of the index is lost.
        self._index_states.missing(document.target(self._letters))
        if is_alone:
            self._fail_alone(document, reason, now)
        else:
            self._pause(document, "retry", reason, now)

    def _unavailable(self, wanted: Round, failure: Failure, now: float) -> None:
        if isinstance(wanted, Bulk):
            if failure is Failure.TOO_BUSY:
                self._sizes.too_busy(len(wanted.body))
            elif now - wanted.started > SLOW_SECONDS:
                # One slow index makes a whole _bulk late. Which one it is shows when each goes alone.
                targets = {document.target(self._letters) for document in wanted.documents}
                for index in targets if len(targets) > 1 else ():
                    self._index_states.suspect(index)
            if wanted.lane and self._answered_at > wanted.started:
                # The engine has answered others meanwhile: only this index is slow, and in its lane it waits alone.
                return
        self._backoff.failed(now)
        if self.down_since is None:
            self.down_since = now

    def _pause(self, document: PendingDocument, what: str, reason: str, now: float) -> None:
        self._observer.happened(what, document.index, reason)
        self._waiting.pause(document, now, types_of(reason))

    def _fail_by_error(self, document: PendingDocument, error: Exception, now: float) -> None:
        log.error("a document of %s can't be written: %s", document.index, type(error).__name__, exc_info=error)
        self._fail_alone(document, f"internal error: {type(error).__name__}", now)

    def _fail_alone(self, document: PendingDocument, reason: str, now: float) -> None:
        """See to a document whose request failed by itself, or could not be made: in the end only its events fail."""
        if document.live == 0:
            self._release(document)
            return
        document.failures += 1
        self._pause(document, "failed", reason, now)
        if document.failures >= MAX_FAILURES:
            for entry in list(document.entries):
                self._tasks.fail(entry.task, StoreUnavailableError(f"{document.index}: {types_of(reason)}"))
