"""Rounds: what the core wants to be asked of the engine, and what comes of it. Data, without I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from request_logger.store.writing.bulk import Outcome
from request_logger.store.writing.pending import PendingDocument
from request_logger.store.writing.version_cache import Known


class Failure(Enum):
    """Why a round has no answer that says what became of each document."""

    UNAVAILABLE = "the engine doesn't answer, or can't take anything now"
    TOO_LARGE = "the engine takes no request of this size"
    TOO_BUSY = "the engine has no room for a request of this size now"
    REFUSED = "the engine refuses the whole request because of its content"
    UNREADABLE = "the answer is none"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A round that failed whole."""

    failure: Failure
    reason: str


@dataclass(slots=True, eq=False)
class Bulk:
    """Documents whose requests go out in one _bulk. ``lane``: the only index in it, where that one makes trouble."""

    documents: list[PendingDocument]
    body: bytes
    started: float
    lane: str = ""


@dataclass(slots=True, eq=False)
class Listing:
    """Names whose indices are to be listed."""

    documents: list[PendingDocument]
    names: frozenset[str]
    started: float


@dataclass(slots=True, eq=False)
class Look:
    """Documents that are to be searched for, each in some indices."""

    documents: list[PendingDocument]
    names: list[list[str]]
    started: float

    @property
    def gets(self) -> int:
        """How many real-time gets it takes."""
        return sum(map(len, self.names))


@dataclass(slots=True, eq=False)
class Ping:
    """A question whether the engine answers again, while nothing waits for it."""

    started: float
    documents: list[PendingDocument] = field(default_factory=list)


Round = Bulk | Listing | Look | Ping


@dataclass(slots=True)
class Sighting:
    """What one index said of one document: the document, or why it can't say; neither where it has none."""

    known: Known | None = None
    problem: str = ""


Listed = Mapping[str, list[str] | None]
Sightings = Sequence[Sequence[Sighting]]
Answer = list[Outcome] | Listed | Sightings | bool | NoAnswer
"""Of a Bulk, a Listing, a Look, a Ping; NoAnswer of any."""
