"""Builds rounds of the documents that may act now: which are listed, searched for, or written together. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from request_logger.store.changes import Document
from request_logger.store.writing.bulk_sizes import BulkSizes
from request_logger.store.writing.pending import PendingDocument
from request_logger.store.writing.rounds import Bulk, Listing, Look, Round
from request_logger.store.writing.schedule import Waiting
from request_logger.store.writing.states import Action, End
from request_logger.store.writing.steps import MAX_APPLIED, Steps

MAX_DOCUMENTS = 1000
"""Of one round: the engine's answer to more takes longer to parse than a further request costs."""


class RoundBuilder:
    """For one thread at a time.

    ``end`` is told of each document whose changes end without a request, ``fail`` of each of which none can be made.
    """

    def __init__(
        self,
        waiting: Waiting,
        steps: Steps,
        sizes: BulkSizes,
        letters: str,
        end: Callable[[PendingDocument, End, Document | None], None],
        fail: Callable[[PendingDocument, Exception, float], None],
    ) -> None:
        self._waiting = waiting
        self._index_states = waiting.index_states
        self._steps = steps
        self._sizes = sizes
        self._letters = letters
        self._end = end
        self._fail = fail
        self._lane_is_busy = False

    def next(self, now: float) -> Round | None:
        """Return the next round; its documents are under way from now on."""
        while True:
            found = self._locating(now) or self._bulk(now)
            # What ended without a request may have let plans go on.
            if found is not None or not (self._waiting.to_locate or self._waiting.to_send):
                return found

    def is_back(self, bulk: Bulk) -> None:
        """Note that a _bulk is answered, or never will be."""
        if bulk.lane:
            self._lane_is_busy = False

    def _locating(self, now: float) -> Round | None:
        """Return a round that finds out where documents are."""
        listed: list[PendingDocument] = []
        looks: list[PendingDocument] = []
        names: list[list[str]] = []
        gets, most = 0, MAX_DOCUMENTS
        for document in list(self._waiting.to_locate):
            action, found = self._steps.locate(document, now)
            if action is Action.LIST:
                listed.append(document)
            elif action is Action.LOOK:
                most = min(most, document.most_beside)
                if not looks or (gets + len(found) <= self._steps.most_gets and len(looks) < most):
                    looks.append(document)
                    names.append(found)
                    gets += len(found)
            else:
                del self._waiting.to_locate[document]
                self._waiting.ready(document)
        chosen, action = (listed, Action.LIST) if listed else (looks, Action.LOOK)
        for document in chosen:
            document.action = action
            del self._waiting.to_locate[document]
        if listed:
            return Listing(listed, frozenset(document.index for document in listed), now)
        return Look(looks, names, now) if looks else None

    def _bulk(self, now: float) -> Bulk | None:
        """Return the next _bulk: of an index with a lane, where that is free, else of all others."""
        lane = "" if self._lane_is_busy else self._index_states.next_lane()
        bulk = self._fill(self._index_states.lanes[lane], lane, now) if lane else None
        if bulk is not None:
            self._lane_is_busy = True
            return bulk
        return self._fill(self._waiting.to_send, "", now)

    def _fill(self, waiting: dict[PendingDocument, None], lane: str, now: float) -> Bulk | None:
        documents: list[PendingDocument] = []
        bodies: list[bytes] = []
        size = applied = 0
        most = MAX_DOCUMENTS
        # Some end without a request, or wait for their index: twice as many fill a request in most cases.
        for document in list(islice(waiting, 2 * MAX_DOCUMENTS)):
            if document not in waiting or len(documents) >= document.most_beside:
                continue
            if self._waiting.goes_elsewhere(document, lane):
                del waiting[document]
                continue
            try:
                step = self._steps.next(document)
            except Exception as error:
                waiting.pop(document, None)
                self._fail(document, error, now)
                continue
            if document.live == 0:
                continue  # its last change has failed
            if step.request is None:
                del waiting[document]
                if isinstance(step.action, End):
                    self._end(document, step.action, step.wanted)
                else:
                    self._waiting.ready(document)
                continue
            if not self._waiting.admits(document, now):
                del waiting[document]
                continue
            body = step.request.body
            if documents and size + len(body) > self._sizes.most_bytes:
                break
            assert isinstance(step.action, Action)
            del waiting[document]
            document.action, document.request, document.wanted = step.action, step.request, step.wanted
            documents.append(document)
            bodies.append(body)
            size += len(body)
            applied += document.applied
            most = min(most, document.most_beside)
            if len(documents) >= most or applied >= 4 * MAX_APPLIED:
                break
        return Bulk(documents, b"".join(bodies), now, lane) if documents else None
