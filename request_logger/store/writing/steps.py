"""The next step for a document: gathers the facts, evaluates the tables in `states`, and builds the request. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from request_logger.common.json import dumps
from request_logger.common.mapped_fields import SCORED_AT
from request_logger.common.number_text import loads_keeping
from request_logger.store.changes import Document, Reads, apply_all
from request_logger.store.writing.bulk import BulkItem, Outcome
from request_logger.store.writing.create_policy import CreatePolicy
from request_logger.store.writing.dead_letter import dead_letter_request
from request_logger.store.writing.locator import Locator
from request_logger.store.writing.pending import Entry, PendingDocument
from request_logger.store.writing.plan_runner import PlanRunner
from request_logger.store.writing.ports import Degrade, Limits
from request_logger.store.writing.rounds import Bulk, GetResult, Listing, Lookup, Round
from request_logger.store.writing.states import LOCATING, MOVES, Action, End, Facts, Kind, State, next_action

MAX_APPLIED = 500
"""Changes applied to one document at a time: more would delay the other documents while they are applied."""


@dataclass(slots=True)
class Step:
    """The next step. ``action`` None: the document must be located first. ``request`` stores ``wanted``."""

    action: Action | End | None
    request: BulkItem | None = None
    wanted: Document | None = None


# Single numbers of these fields are not read, except for those of a response when it is scored.
_KEPT_AS_TEXT = frozenset({"request", "response"})


class Steps:
    """Chooses the next step of documents. Not thread-safe: the caller holds the writer's lock."""

    def __init__(
        self, degrade: Degrade, limits: Limits, locator: Locator | None, policy: CreatePolicy, tasks: PlanRunner
    ) -> None:
        self._degrade = degrade
        self._dead_letter_index = limits.dead_letter_index
        self._locator = locator
        self._policy = policy
        self._plans = tasks

    # Where it is

    def locate(self, document: PendingDocument, now: float) -> tuple[Action | None, list[str]]:
        """Return LIST, LOOK_UP and the indices to search, or None if the index is known by now."""
        locator = self._locator
        assert locator is not None
        while document.state in LOCATING:
            names = locator.names(document)
            action = next_action(
                document.state,
                Facts(is_listed=not locator.catalog.is_stale(document.index, now), has_others=bool(names)),
            )
            assert isinstance(action, Action)
            if action not in MOVES:
                return action, names
            self._move(document, action)
        return None, []

    def outcomes(self, wanted: Round, answer: Any, now: float) -> list[Outcome | Exception]:
        """Return the outcome of each document of a round; an exception where user code failed while joining copies."""
        locator = self._locator
        if isinstance(wanted, Listing):
            assert locator is not None
            locator.catalog.note(answer, now)
            for document in wanted.documents:
                document.is_multi_index = not locator.catalog.is_single_index(document.index)
            return [Outcome(Kind.LISTED) for _ in wanted.documents]
        if isinstance(wanted, Lookup):
            return [
                self._lookup_outcome(document, each) for document, each in zip(wanted.documents, answer, strict=True)
            ]
        return list(answer) if isinstance(wanted, Bulk) else []

    def _lookup_outcome(self, document: PendingDocument, results: Sequence[GetResult]) -> Outcome | Exception:
        assert self._locator is not None
        try:
            kind, problem = self._locator.note_results(document, results)
        except Exception as error:
            return error
        return Outcome(kind, reason=problem)

    @property
    def max_gets(self) -> int:
        """The maximum number of gets in a lookup."""
        return self._locator.max_gets if self._locator is not None else 0

    def _move(self, document: PendingDocument, action: Action) -> None:
        if action in (Action.USE_INDEX_OF_DAY, Action.CONCLUDE_ABSENT):
            assert self._locator is not None
            document.target_index = self._locator.initial_index(document)
        document.state = MOVES[action]

    # What is sent

    def next(self, document: PendingDocument) -> Step:
        """Return the next step for a document whose index is known.

        Raises whatever degrading, joining copies or serialising raises.
        """
        stored = loads_keeping(document.known.source, _KEPT_AS_TEXT) if document.known else None
        merged = stored
        if document.copies and stored is not None:
            assert self._locator is not None
            merged = self._locator.merged(stored, document.copies)
        whole = self._apply(document, merged)
        if document.live == 0:
            return Step(End.FINISHED)
        wanted, is_exhausted = whole, False
        if document.reasons and whole is not None:
            wanted = self._degrade(whole, document.reasons)
            is_exhausted = wanted is None
        is_unchanged = document.known is not None and is_same(wanted, stored)
        if is_unchanged:
            wanted = stored
        several = document.applied > 1 and not document.exists
        is_first = several and any(entry.change.first for entry in document.entries[: document.applied])
        accepts_known = is_unchanged and all(
            entry.change.reads is Reads.KNOWN for entry in document.entries[: document.applied]
        )
        is_new = is_first and self._policy.is_likely
        # By position, since this runs for every request: keywords take twice as long.
        facts = Facts(
            True,  # is_listed
            False,  # has_others
            document.is_multi_index,
            bool(document.copies),  # has_copies
            is_new,
            whole is None,  # is_empty
            is_unchanged,
            accepts_known,
            is_exhausted,
        )
        while (action := next_action(document.state, facts)) in MOVES:
            assert isinstance(action, Action)
            self._move(document, action)
            if document.state in LOCATING:
                return Step(None)
        if document.state is State.UNINDEXABLE:
            wanted = whole
        document.guesses_new = is_first and action in (Action.CREATE, Action.CREATE_OR_READ)
        if isinstance(action, End):
            return Step(action, None, wanted)
        return Step(action, self._request(document, action, wanted), wanted)

    def _apply(self, document: PendingDocument, stored: Document | None) -> Document | None:
        """Apply the queued changes in order; a change that raises fails only its own task."""
        document.entries = [entry for entry in document.entries if not entry.task.end.ended]
        batch = document.entries[:MAX_APPLIED]
        try:
            result = apply_all([entry.change for entry in batch], stored)
        except Exception:
            return self._apply_each(document, batch, stored)
        document.applied = len(batch)
        return result

    def _apply_each(self, document: PendingDocument, batch: list[Entry], stored: Document | None) -> Document | None:
        """Apply the changes one by one, so that it is known which of them raise."""
        result = stored
        for entry in batch:
            try:
                result = entry.change.apply(result)
            except Exception as error:
                self._plans.fail(entry.task, error)
        lasting = [entry for entry in batch if not entry.task.end.ended]
        if len(lasting) < len(batch):
            document.entries = [*lasting, *(e for e in document.entries[MAX_APPLIED:] if not e.task.end.ended)]
        document.applied = len(lasting)
        return result

    def _request(self, document: PendingDocument, action: Action, wanted: Document | None) -> BulkItem:
        index, id, known = document.target_index, document.id, document.known
        if action in (Action.READ, Action.VERIFY):
            return BulkItem.read(index, id)
        if action is Action.REMOVE_COPY:
            return BulkItem.delete(document.copies[0].index, id, document.copies[0])
        if action is Action.DELETE:
            assert known is not None
            return BulkItem.delete(index, id, known)
        assert wanted is not None
        if action is Action.STORE_DEAD_LETTER and document.index == self._dead_letter_index:
            return BulkItem.store(self._dead_letter_index, id, dumps(wanted))
        if action is Action.STORE_DEAD_LETTER:
            return dead_letter_request(self._dead_letter_index, document.index, id, document.reasons[-1], wanted)
        source = dumps(wanted)
        if action is Action.REPLACE:
            assert known is not None
            return BulkItem.replace(index, id, known, source)
        return (BulkItem.create if action is Action.CREATE else BulkItem.create_or_read)(index, id, source)


def is_same(wanted: Document | None, stored: Document | None) -> bool:
    """Return whether two versions of a document are equal, except for the time of scoring.

    Changes that are applied one by one may score a pair differently in between: with the comparison of that
    time, joining copies would write the same document for ever.
    """
    if wanted is stored or wanted == stored:
        return True
    if wanted is None or stored is None:
        return False
    new, old = wanted.get("metrics"), stored.get("metrics")
    if not (isinstance(new, dict) and isinstance(old, dict)) or {**new, SCORED_AT: None} != {**old, SCORED_AT: None}:
        return False
    return {**wanted, "metrics": None} == {**stored, "metrics": None}
