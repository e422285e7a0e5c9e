"""Rounds: the requests that the core wants to send, and their answers. Data, without I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from request_logger.common.pieces import Pieces
from request_logger.store.writing.bulk import Outcome
from request_logger.store.writing.pending import PendingDocument
from request_logger.store.writing.version_cache import Known


class Failure(Enum):
    """Why a round has no answer with an outcome per document."""

    UNAVAILABLE = "the search engine doesn't answer, or accepts nothing now"
    TOO_LARGE = "the search engine accepts no request of this size"
    TOO_BUSY = "the search engine has no room for a request of this size now"
    REFUSED = "the search engine refuses the whole request because of its content"
    UNREADABLE = "the answer can't be read"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The answer to a round that failed as a whole."""

    failure: Failure
    reason: str


@dataclass(slots=True, eq=False)
class Bulk:
    """Documents whose requests are sent in one _bulk. ``lane``: its only index, if that one is isolated."""

    documents: list[PendingDocument]
    body: bytes | Pieces
    started: float
    lane: str = ""


@dataclass(slots=True, eq=False)
class Listing:
    """Names whose indices must be listed."""

    documents: list[PendingDocument]
    names: frozenset[str]
    started: float


@dataclass(slots=True, eq=False)
class Lookup:
    """Documents to search for, each in the indices of ``names`` at the same position."""

    documents: list[PendingDocument]
    names: list[list[str]]
    started: float

    @property
    def gets(self) -> int:
        """The number of real-time gets that it takes."""
        return sum(map(len, self.names))


@dataclass(slots=True, eq=False)
class Ping:
    """A check whether the search engine answers again, while no document is pending."""

    started: float
    documents: list[PendingDocument] = field(default_factory=list)


Round = Bulk | Listing | Lookup | Ping


@dataclass(slots=True)
class GetResult:
    """What one index returned for one document: the document, or an error; neither if it has no such document."""

    known: Known | None = None
    problem: str = ""


Listed = Mapping[str, list[str] | None]
LookupResults = Sequence[Sequence[GetResult]]
Answer = list[Outcome] | Listed | LookupResults | bool | NoAnswer
"""The answer to a Bulk, a Listing, a Lookup or a Ping, in this order; NoAnswer to any of them."""
