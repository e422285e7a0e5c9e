"""Builds rounds from the documents that are ready: listings, lookups and _bulk requests. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from request_logger.common.pieces import together
from request_logger.store.changes import Document
from request_logger.store.writing.bulk_sizes import BulkSizes
from request_logger.store.writing.pending import PendingDocument
from request_logger.store.writing.rounds import Bulk, Listing, Lookup, Round
from request_logger.store.writing.schedule import Schedule
from request_logger.store.writing.states import Action, End
from request_logger.store.writing.steps import MAX_APPLIED, Steps

MAX_DOCUMENTS = 1000
"""Documents per round: parsing the answer to more takes longer than another request costs."""


class RoundBuilder:
    """Builds the next round from the schedule.

    ``end`` is called for each document whose changes end without a request, ``fail`` for each document whose request
    can't be built. Not thread-safe: the caller holds the writer's lock.
    """

    def __init__(
        self,
        schedule: Schedule,
        steps: Steps,
        sizes: BulkSizes,
        dead_letter_index: str,
        end: Callable[[PendingDocument, End, Document | None], None],
        fail: Callable[[PendingDocument, Exception, float], None],
    ) -> None:
        self._schedule = schedule
        self._index_states = schedule.index_states
        self._steps = steps
        self._sizes = sizes
        self._dead_letter_index = dead_letter_index
        self._end = end
        self._fail = fail
        self._lane_is_busy = False

    @property
    def is_ready(self) -> bool:
        """Whether documents are ready whose round can be built now."""
        if self._schedule.to_locate or self._schedule.to_send:
            return True
        return not self._lane_is_busy and any(self._index_states.lanes.values())

    def next(self, now: float) -> Round | None:
        """Return the next round, None if nothing is ready; its documents are in flight from now on."""
        while True:
            found = self._locating(now) or self._bulk(now)
            # A document that ended without a request may have made its plan yield further changes, also of an isolated
            # index.
            if found is not None or not self.is_ready:
                return found

    def answer_received(self, bulk: Bulk) -> None:
        """Record that a _bulk was answered, or never will be."""
        if bulk.lane:
            self._lane_is_busy = False

    def _locating(self, now: float) -> Round | None:
        """Return a round that locates documents: a listing if any index list is outdated, else a lookup."""
        if not self._schedule.to_locate:
            return None
        listed: list[PendingDocument] = []
        searched: list[PendingDocument] = []
        names: list[list[str]] = []
        gets, limit = 0, MAX_DOCUMENTS
        for document in list(self._schedule.to_locate):
            action, found = self._steps.locate(document, now)
            if action is Action.LIST:
                listed.append(document)
            elif action is Action.LOOK_UP:
                limit = min(limit, document.max_bulk_documents)
                if not searched or (gets + len(found) <= self._steps.max_gets and len(searched) < limit):
                    searched.append(document)
                    names.append(found)
                    gets += len(found)
            else:
                del self._schedule.to_locate[document]
                self._schedule.ready(document)
        chosen, action = (listed, Action.LIST) if listed else (searched, Action.LOOK_UP)
        for document in chosen:
            document.action = action
            del self._schedule.to_locate[document]
        if listed:
            return Listing(listed, frozenset(document.index for document in listed), now)
        return Lookup(searched, names, now) if searched else None

    def _bulk(self, now: float) -> Bulk | None:
        """Return the next _bulk: of an isolated index if no other such request is in flight, else of the others."""
        lane = "" if self._lane_is_busy else self._index_states.next_lane()
        bulk = self._fill(self._index_states.lanes[lane], lane, now) if lane else None
        if bulk is not None:
            self._lane_is_busy = True
            return bulk
        return self._fill(self._schedule.to_send, "", now)

    def _fill(self, ready: dict[PendingDocument, None], lane: str, now: float) -> Bulk | None:
        """Take documents off ``ready`` until the request is full."""
        if not ready:
            return None
        documents: list[PendingDocument] = []
        pieces: list[bytes] = []
        size = applied = 0
        limit = MAX_DOCUMENTS
        lanes = self._index_states.lanes
        # Some end without a request or wait for their index, so twice as many candidates usually fill a request.
        for document in list(islice(ready, 2 * MAX_DOCUMENTS)):
            if document not in ready or len(documents) >= document.max_bulk_documents:
                continue
            if lanes and self._schedule.moves_to_lane(document, lane):
                del ready[document]
                continue
            try:
                step = self._steps.next(document)
            except Exception as error:
                ready.pop(document, None)
                self._fail(document, error, now)
                continue
            if document.live == 0:
                continue  # its last change has failed
            if step.request is None:
                del ready[document]
                if isinstance(step.action, End):
                    self._end(document, step.action, step.wanted)
                else:
                    self._schedule.ready(document)
                continue
            if not self._schedule.admits(document, now):
                del ready[document]
                continue
            own_size = step.request.size
            if documents and size + own_size > self._sizes.max_bytes:
                break
            assert isinstance(step.action, Action)
            del ready[document]
            document.action, document.request, document.wanted = step.action, step.request, step.wanted
            documents.append(document)
            pieces += step.request.pieces
            size += own_size
            applied += document.applied
            limit = min(limit, document.max_bulk_documents)
            if len(documents) >= limit or applied >= 4 * MAX_APPLIED:
                break
        return Bulk(documents, together(pieces), now, lane) if documents else None
