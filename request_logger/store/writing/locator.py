"""Which index has a document, where there is one per month or day (INDEX_PERIOD), or there was. No I/O.

An unknown document is searched for by real-time gets (``_mget``, which needs no refresh) in the indices of its name:
feedback before it is written, since its prediction is most likely there, of another day; anything else after it was
created in the index of its own day, since it is most likely new. Of several copies the oldest index wins (the one
without a period first of all). See `states` for the protocol that makes two writers find each other's copies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from request_logger.common.json import loads
from request_logger.common.periods import index_at
from request_logger.store.changes import Document, Reads
from request_logger.store.indices.catalog import Catalog
from request_logger.store.writing.pending import PendingDocument
from request_logger.store.writing.rounds import Sighting
from request_logger.store.writing.states import Kind, State
from request_logger.store.writing.version_cache import Known

# Gets of one _mget: with documents of 1 kB the answer is some 10 MB.
_MOST_GETS = 10_000

Merge = Callable[[Document, Document], Document | None]


class Locator:
    """Finds the places of documents. For one thread at a time.

    ``merge`` joins a copy to a document, None where it is of another deployment. Raises nothing but what ``merge``
    raises.
    """

    def __init__(self, period: str, merge: Merge) -> None:
        self.catalog = Catalog(period)
        self.most_gets = _MOST_GETS
        self._merge = merge

    def names(self, document: PendingDocument) -> list[str]:
        """Return the indices in which a document is to be searched for, for its state."""
        catalog = self.catalog
        if document.state is State.UNCHECKED:
            return [name for name in catalog.of(document.index) if name != document.target_index]
        home = self.address(document)
        listed = catalog.of(document.index)
        others = [name for name in listed if name != home]
        if document.state is State.UNPLACED:
            asks = any(entry.change.late or entry.change.reads is not Reads.NOTHING for entry in document.entries)
            return [home, *others] if others and asks else []
        return [home, *others] if listed else []

    def address(self, document: PendingDocument) -> str:
        """Return the index in which a document begins."""
        days = (entry.change.day for entry in document.entries if entry.change.day is not None)
        day = next(days, None)
        return document.index if day is None else index_at(document.index, day, self.catalog.period)

    def take(self, document: PendingDocument, sightings: Sequence[Sighting]) -> tuple[Kind, str]:
        """Note where a document was seen; return the outcome, and why the engine can't say."""
        problem = next((sighting.problem for sighting in sightings if sighting.problem), "")
        if problem:
            return Kind.LATER, problem
        found = [sighting.known for sighting in sightings if sighting.known is not None]
        if document.state is State.UNCHECKED:
            assert document.known is not None
            mine = document.known
            others = [known for known in found if self._are_one(mine, known)]
            if not others:
                return Kind.ABSENT, ""
            found = [mine, *others]
        elif not found:
            document.target_index = self.address(document)
            return Kind.ABSENT, ""
        first, *copies = sorted(found, key=lambda known: (known.index != document.index, known.index))
        document.target_index, document.known = first.index, first
        document.copies = [known for known in copies if self._are_one(first, known)]
        return (Kind.SEVERAL if document.copies else Kind.FOUND), ""

    def merged(self, document: Document, copies: Sequence[Known]) -> Document:
        """Join copies to a document."""
        for copy in copies:
            document = self._merge(document, loads(copy.source)) or document
        return document

    def _are_one(self, one: Known, other: Known) -> bool:
        return self._merge(loads(one.source), loads(other.source)) is not None
