"""The indices that are written to: which are prepared, and which make trouble. No I/O.

An index is prepared (created, given the fields it lacks) before the first document goes there. That can take long, so
documents wait for their own index only. An index that makes a _bulk slow or unanswered gets a lane of its own: its
documents go out without those of other indices, one such request at a time, until one is answered in full.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from enum import Enum

from request_logger.store.writing.backoff import bounded_pause
from request_logger.store.writing.pending import PendingDocument


class Status(Enum):
    """How far an index is prepared; the value is its description."""

    NEW = "to be prepared"
    PREPARING = "being prepared"
    READY = "prepared"
    BLOCKED = "there, but it could not be prepared whole; to be tried again while it is used"


@dataclass(slots=True)
class _IndexState:
    status: Status = Status.NEW
    is_gone: bool = False
    """It was prepared before and is missing now, or may be."""
    is_used: bool = False
    """A document was stored in it since it was made, as far as is known."""
    attempts: int = 0
    not_before: float = -math.inf
    waiting: dict[PendingDocument, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preparation:
    """An index to prepare. ``is_gone``: what was known of it is void."""

    index: str
    is_gone: bool


class IndexStates:
    """For one thread at a time."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._index_states: dict[str, _IndexState] = {}
        self._due: dict[str, None] = {}
        """Indices to prepare, in order."""
        self.lanes: dict[str, dict[PendingDocument, None]] = {}
        """The documents that are ready to go to an index that makes trouble, by index."""

    def admits(self, index: str, document: PendingDocument, now: float) -> bool:
        """Return whether a document may be sent to an index now; if not, it is held until the index is prepared."""
        state = self._index_states.get(index)
        if state is None:
            state = self._index_states[index] = _IndexState()
        if state.status is Status.READY:
            return True
        if state.status is Status.BLOCKED:
            if state.not_before <= now:
                self._due[index] = None
            return True
        state.waiting[document] = None
        if state.status is Status.NEW:
            self._due[index] = None
        return False

    def preparations(self, now: float) -> list[Preparation]:
        """Return the indices to prepare now; each counts as being prepared until `prepared` is called."""
        found = [index for index in self._due if self._index_states[index].not_before <= now]
        wanted = []
        for index in found:
            del self._due[index]
            state = self._index_states[index]
            if state.status is Status.NEW:
                state.status = Status.PREPARING
            # Not once more until `prepared` is called.
            state.not_before = math.inf
            wanted.append(Preparation(index, state.is_gone))
        return wanted

    def next_preparation_at(self) -> float:
        """Return when the next index is to be prepared; infinite where none is."""
        return min((self._index_states[index].not_before for index in self._due), default=math.inf)

    def prepared(self, index: str, done: bool | str, now: float) -> list[PendingDocument]:
        """Note what came of a preparation; return the documents that may go on.

        ``done`` False: the index is blocked and can't be changed now; text: why the engine could not say.
        """
        state = self._index_states[index]
        state.not_before = -math.inf
        if isinstance(done, bool):
            state.status = Status.READY if done else Status.BLOCKED
            state.is_gone = False
            waiting, state.waiting = state.waiting, {}
            if done:
                state.attempts = 0
            else:
                state.attempts += 1
                state.not_before = now + bounded_pause(state.attempts, self._rng)
            return list(waiting)
        if state.status is Status.PREPARING:
            state.status = Status.NEW
        state.attempts += 1
        state.not_before = now + bounded_pause(state.attempts, self._rng)
        for document in state.waiting:
            document.delayed_by = done
        if state.waiting:
            self._due[index] = None
        return []

    def missing(self, index: str) -> None:
        """Note that the engine has no such index (any more)."""
        state = self._index_states.get(index)
        if state is not None and state.status is not Status.PREPARING:
            state.status, state.is_gone, state.is_used = Status.NEW, True, False

    def stored(self, index: str, seq_no: int) -> None:
        """Note that a document was stored, with which number of the engine's.

        Number 0 is that of the first document of a new index (of each of its shards): somebody may have removed the
        one that was prepared, so that this one was made without its fields. It is looked at once more.
        """
        state = self._index_states.get(index)
        if state is None:
            return
        if seq_no == 0 and state.status is not Status.PREPARING:
            state.status, state.is_gone = Status.NEW, state.is_used
            # At once: the next document may be another replica's, which has no reason to look.
            self._due[index] = None
        state.is_used = True

    def all_doubtful(self) -> None:
        """Check every index again before it is written to: the engine was away, and may have come back empty."""
        for index in self._index_states:
            self.missing(index)

    def drop(self, document: PendingDocument, index: str) -> None:
        """Forget a document that waits for an index, or in its lane."""
        state = self._index_states.get(index)
        if state is not None:
            state.waiting.pop(document, None)
        if index in self.lanes:
            self.lanes[index].pop(document, None)

    def suspect(self, index: str) -> None:
        """Give an index that seems to make trouble a lane of its own."""
        self.lanes.setdefault(index, {})

    def acquit(self, index: str) -> list[PendingDocument]:
        """Take an index's lane away; return the documents that waited in it."""
        return list(self.lanes.pop(index, {}))

    def next_lane(self) -> str:
        """Return an index with a lane in which documents wait, another one each time; empty where there is none."""
        for index in list(self.lanes):
            if self.lanes[index]:
                self.lanes[index] = self.lanes.pop(index)
                return index
        return ""
