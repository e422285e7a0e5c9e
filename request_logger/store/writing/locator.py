"""Locates documents when there is, or was, an index per month or day (INDEX_PERIOD). No I/O.

A document whose index is unknown is searched for with real-time gets (``_mget``, which needs no refresh) in the indices
of its name. Feedback is searched for before it is written, since its prediction was most likely stored on another day;
everything else after it was created in the index of its own day, since it is most likely new. Of several copies the
one in the oldest index is kept (the index without a period counts as the oldest). `states` describes the protocol by
which two writers find each other's copies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from request_logger.common.json import loads
from request_logger.common.periods import index_at
from request_logger.store.changes import Document, Reads
from request_logger.store.indices.catalog import Catalog
from request_logger.store.writing.pending import PendingDocument
from request_logger.store.writing.rounds import GetResult
from request_logger.store.writing.states import Kind, State
from request_logger.store.writing.version_cache import Known

# Gets per _mget: with documents of 1 kB the answer has some 10 MB.
_MAX_GETS = 10_000

Merge = Callable[[Document, Document], Document | None]


class Locator:
    """Finds the index of each document.

    ``merge`` joins a copy to a document, and returns None if the two are of different deployments. The methods raise
    only what ``merge`` raises. Not thread-safe: the caller holds the writer's lock.
    """

    def __init__(self, period: str, merge: Merge) -> None:
        self.catalog = Catalog(period)
        self.max_gets = _MAX_GETS
        self._merge = merge

    def names(self, document: PendingDocument) -> list[str]:
        """Return the indices to search for a document in its state."""
        catalog = self.catalog
        if document.state is State.UNCHECKED:
            return [name for name in catalog.of(document.index) if name != document.target_index]
        initial = self.initial_index(document)
        listed = catalog.of(document.index)
        others = [name for name in listed if name != initial]
        if document.state is State.UNLOCATED:
            must_search = any(
                entry.change.late or entry.change.reads is not Reads.NOTHING for entry in document.entries
            )
            return [initial, *others] if others and must_search else []
        return [initial, *others] if listed else []

    def initial_index(self, document: PendingDocument) -> str:
        """Return the index in which a document is created."""
        days = (entry.change.day for entry in document.entries if entry.change.day is not None)
        day = next(days, None)
        return document.index if day is None else index_at(document.index, day, self.catalog.period)

    def note_results(self, document: PendingDocument, results: Sequence[GetResult]) -> tuple[Kind, str]:
        """Record the results of a lookup in a document; return the outcome, and the error if an index gave one."""
        problem = next((result.problem for result in results if result.problem), "")
        if problem:
            return Kind.LATER, problem
        found = [result.known for result in results if result.known is not None]
        if document.state is State.UNCHECKED:
            assert document.known is not None
            mine = document.known
            others = [known for known in found if self._are_same_document(mine, known)]
            if not others:
                return Kind.ABSENT, ""
            found = [mine, *others]
        elif not found:
            document.target_index = self.initial_index(document)
            return Kind.ABSENT, ""
        first, *copies = sorted(found, key=lambda known: (known.index != document.index, known.index))
        document.target_index, document.known = first.index, first
        document.copies = [known for known in copies if self._are_same_document(first, known)]
        return (Kind.SEVERAL if document.copies else Kind.FOUND), ""

    def merged(self, document: Document, copies: Sequence[Known]) -> Document:
        """Return a document joined with its copies."""
        for copy in copies:
            document = self._merge(document, loads(copy.source)) or document
        return document

    def _are_same_document(self, one: Known, other: Known) -> bool:
        return self._merge(loads(one.source), loads(other.source)) is not None
