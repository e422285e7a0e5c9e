"""The documents with pending changes: which may act now, which wait for a while, which for their index. No I/O."""

from __future__ import annotations

import heapq
import math
import random
from itertools import count

from request_logger.store.writing.backoff import bounded_pause
from request_logger.store.writing.index_states import IndexStates, Preparation
from request_logger.store.writing.pending import PendingDocument
from request_logger.store.writing.states import LOCATING


class Waiting:
    """For one thread at a time. ``letters`` is the index of dead letters."""

    def __init__(self, letters: str, rng: random.Random) -> None:
        self._letters = letters
        self._rng = rng
        self._documents: dict[tuple[str, str], PendingDocument] = {}
        self.to_locate: dict[PendingDocument, None] = {}
        """Those that may act now and are to be located, in order."""
        self.to_send: dict[PendingDocument, None] = {}
        """Those that may act now and whose requests go into any _bulk, in order."""
        self._paused: list[tuple[float, int, PendingDocument]] = []
        self._numbers = count()
        self.index_states = IndexStates(rng)

    def __len__(self) -> int:
        return len(self._documents)

    def get(self, key: tuple[str, str]) -> PendingDocument | None:
        """Return the document of a name and id, None where it has no pending changes."""
        return self._documents.get(key)

    def add(self, document: PendingDocument) -> None:
        """Add a document; `ready` lets it act."""
        self._documents[document.key] = document

    def remove(self, document: PendingDocument) -> None:
        """Remove a document, unless another has taken its place."""
        if self._documents.get(document.key) is document:
            del self._documents[document.key]
            self.to_locate.pop(document, None)
            self.to_send.pop(document, None)
            self.index_states.drop(document, document.target(self._letters))

    def ready(self, document: PendingDocument) -> None:
        """Let a document act at the next round."""
        if document.state in LOCATING:
            self.to_locate[document] = None
        else:
            lane = self.index_states.lanes.get(document.target(self._letters))
            (self.to_send if lane is None else lane)[document] = None

    def pause(self, document: PendingDocument, now: float, reason: str) -> None:
        """Let a document act later: longer from pause to pause."""
        document.attempts += 1
        document.delayed_by = reason
        document.not_before = now + bounded_pause(document.attempts, self._rng)
        heapq.heappush(self._paused, (document.not_before, next(self._numbers), document))

    def wake(self, now: float) -> None:
        """Let those act whose pause is over."""
        while self._paused and self._paused[0][0] <= now:
            self._resume(heapq.heappop(self._paused)[2])

    def wake_at(self) -> float:
        """Return when the next pause is over; infinite where there is none."""
        return self._paused[0][0] if self._paused else math.inf

    def admits(self, document: PendingDocument, now: float) -> bool:
        """Return whether its index is prepared; if not, the document waits for that."""
        return self.index_states.admits(document.target(self._letters), document, now)

    def goes_elsewhere(self, document: PendingDocument, lane: str) -> bool:
        """Return whether its index has a lane of its own; if so, the document waits there."""
        target = document.target(self._letters)
        if target == lane or target not in self.index_states.lanes:
            return False
        self.index_states.lanes[target][document] = None
        return True

    def preparations(self, now: float) -> list[Preparation]:
        """Return the indices to prepare now."""
        return self.index_states.preparations(now)

    def prepared(self, index: str, done: bool | str, now: float) -> None:
        """Note what came of a preparation: see IndexStates.prepared."""
        for document in self.index_states.prepared(index, done, now):
            self._resume(document)

    def _resume(self, document: PendingDocument) -> None:
        if self._documents.get(document.key) is document and document.action is None:
            self.ready(document)
