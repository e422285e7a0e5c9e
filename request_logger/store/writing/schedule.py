"""The schedule of documents with pending changes: ready, paused, or waiting for their index. No I/O."""

from __future__ import annotations

import heapq
import math
import random
from itertools import count

from request_logger.store.writing.backoff import bounded_pause
from request_logger.store.writing.index_states import IndexStates, Preparation
from request_logger.store.writing.pending import PendingDocument
from request_logger.store.writing.states import LOCATING


class Schedule:
    """Decides which documents with pending changes may be processed now.

    Not thread-safe: the caller holds the writer's lock.
    """

    def __init__(self, dead_letter_index: str, rng: random.Random) -> None:
        self._dead_letter_index = dead_letter_index
        self._rng = rng
        self._documents: dict[tuple[str, str], PendingDocument] = {}
        self.get = self._documents.get
        """Returns the document of an index name and id; None if it has no pending changes."""
        self.to_locate: dict[PendingDocument, None] = {}
        """Documents that are ready and must be located first, in order."""
        self.to_send: dict[PendingDocument, None] = {}
        """Documents that are ready to be sent in a shared _bulk, in order."""
        self._paused: list[tuple[float, int, PendingDocument]] = []
        self._numbers = count()
        self.index_states = IndexStates(rng)

    def __len__(self) -> int:
        return len(self._documents)

    def add(self, document: PendingDocument) -> None:
        """Add a document; call `ready` to schedule it."""
        self._documents[document.key] = document

    def remove(self, document: PendingDocument) -> None:
        """Remove a document, unless its key belongs to another one by now."""
        if self._documents.get(document.key) is document:
            del self._documents[document.key]
            self.to_locate.pop(document, None)
            self.to_send.pop(document, None)
            self.index_states.drop(document, document.target(self._dead_letter_index))

    def ready(self, document: PendingDocument) -> None:
        """Schedule a document for the next round."""
        if document.state in LOCATING:
            self.to_locate[document] = None
        else:
            lane = self.index_states.lanes.get(document.target(self._dead_letter_index))
            (self.to_send if lane is None else lane)[document] = None

    def pause(self, document: PendingDocument, now: float, reason: str) -> None:
        """Schedule a document after a back-off, which grows with each pause."""
        document.attempts += 1
        document.delayed_by = reason
        document.not_before = now + bounded_pause(document.attempts, self._rng)
        heapq.heappush(self._paused, (document.not_before, next(self._numbers), document))

    def has_scheduled(self, document: PendingDocument) -> bool:
        """Return whether a document is ready, paused, or waits for its index. Slow: for errors only."""
        is_ready = document in self.to_locate or document in self.to_send
        return is_ready or self.index_states.holds(document) or any(each[2] is document for each in self._paused)

    def wake(self, now: float) -> None:
        """Schedule the documents whose pauses are over."""
        while self._paused and self._paused[0][0] <= now:
            self._resume(heapq.heappop(self._paused)[2])

    def wake_at(self) -> float:
        """Return when the next pause is over (core's clock); infinite if there is none."""
        return self._paused[0][0] if self._paused else math.inf

    def admits(self, document: PendingDocument, now: float) -> bool:
        """Return whether a document's index is prepared; if not, queue the document until it is."""
        return self.index_states.admits(document.target(self._dead_letter_index), document, now)

    def moves_to_lane(self, document: PendingDocument, lane: str) -> bool:
        """Return whether a document's index has another lane than ``lane``; if so, move the document there."""
        target = document.target(self._dead_letter_index)
        if target == lane or target not in self.index_states.lanes:
            return False
        self.index_states.lanes[target][document] = None
        return True

    def preparations(self, now: float) -> list[Preparation]:
        """Return the indices to prepare now."""
        return self.index_states.preparations(now)

    def prepared(self, index: str, done: bool | str, now: float) -> None:
        """Record the result of a preparation: see IndexStates.prepared."""
        for document in self.index_states.prepared(index, done, now):
            self._resume(document)

    def _resume(self, document: PendingDocument) -> None:
        if self._documents.get(document.key) is document and document.action is None:
            self.ready(document)
