"""Preparation and isolation of the indices that are written to. No I/O.

An index is prepared (created, and missing fields added) before its first document is sent. This can take long, so a
document waits for its own index only. An index that makes a _bulk slow or unanswered gets its own lane: its documents
are sent without those of other indices, one request at a time, until a request is answered in full.
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
    BLOCKED = "it exists, but could not be prepared completely; preparation is retried while it is used"


@dataclass(slots=True)
class _IndexState:
    status: Status = Status.NEW
    is_gone: bool = False
    """It was prepared before and is, or may be, missing now."""
    is_used: bool = False
    """A document is known to have been stored in it since it was created."""
    attempts: int = 0
    not_before: float = -math.inf
    waiting: dict[PendingDocument, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preparation:
    """An index to prepare. ``is_gone``: it may be missing, so the admin's record of it must be dropped first."""

    index: str
    is_gone: bool


class IndexStates:
    """Tracks which indices accept documents, which are being prepared, and which are isolated in lanes.

    Not thread-safe: the caller holds the writer's lock.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._index_states: dict[str, _IndexState] = {}
        self._due: dict[str, None] = {}
        """Indices to prepare, in order."""
        self.lanes: dict[str, dict[PendingDocument, None]] = {}
        """The documents that are ready to be sent to each isolated index."""

    def admits(self, index: str, document: PendingDocument, now: float) -> bool:
        """Return whether a document may be sent to an index now; if not, queue it until the index is prepared."""
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
            # Not due again until `prepared` is called.
            state.not_before = math.inf
            wanted.append(Preparation(index, state.is_gone))
        return wanted

    def next_preparation_at(self) -> float:
        """Return when the next index is due for preparation (core's clock); infinite if none is."""
        if not self._due:
            return math.inf
        return min(self._index_states[index].not_before for index in self._due)

    def prepared(self, index: str, done: bool | str, now: float) -> list[PendingDocument]:
        """Record the result of a preparation; return the documents that may be sent now.

        ``done`` False: the index is blocked and can't be changed now. Text: why the search engine gave no result.
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
        """Record that the search engine has no such index (any more)."""
        state = self._index_states.get(index)
        if state is not None and state.status is not Status.PREPARING:
            state.status, state.is_gone, state.is_used = Status.NEW, True, False

    def stored(self, index: str, seq_no: int) -> None:
        """Record that a document was stored, with its sequence number.

        0 is the sequence number of the first document in each shard of a new index. The prepared index may have been
        deleted and implicitly created again without our fields, so the index is prepared once more.
        """
        state = self._index_states.get(index)
        if state is None:
            return
        if seq_no == 0 and state.status is not Status.PREPARING:
            state.status, state.is_gone = Status.NEW, state.is_used
            # At once: the next document may come from another replica, which has no reason to check the index.
            self._due[index] = None
        state.is_used = True

    def check_all_again(self) -> None:
        """Prepare every index again before the next write: after an outage the search engine may be empty."""
        for index in self._index_states:
            self.missing(index)

    def drop(self, document: PendingDocument, index: str) -> None:
        """Remove a document from the queue and the lane of an index."""
        state = self._index_states.get(index)
        if state is not None:
            state.waiting.pop(document, None)
        if index in self.lanes:
            self.lanes[index].pop(document, None)

    def holds(self, document: PendingDocument) -> bool:
        """Return whether a document waits for its index to be prepared, or is ready in a lane."""
        waits = any(document in state.waiting for state in self._index_states.values())
        return waits or any(document in lane for lane in self.lanes.values())

    def isolate(self, index: str) -> None:
        """Give an index its own lane, because it seems to make a _bulk slow."""
        self.lanes.setdefault(index, {})

    def release_lane(self, index: str) -> list[PendingDocument]:
        """Remove the lane of an index; return the documents that waited in it."""
        return list(self.lanes.pop(index, {}))

    def next_lane(self) -> str:
        """Return an index with documents waiting in its lane, in rotation; empty if there is none."""
        for index in list(self.lanes):
            if self.lanes[index]:
                self.lanes[index] = self.lanes.pop(index)
                return index
        return ""
