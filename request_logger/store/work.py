"""What the writer works with: its bounds, who it talks to, and what waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from request_logger.store.cache import Known
from request_logger.store.change import Change, Document, Plan
from request_logger.store.promise import Promise
from request_logger.store.templates import DEAD_LETTER_INDEX


class Engine(Protocol):
    """What the writer needs of the engine."""

    def bulk(self, body: bytes) -> dict[str, Any]:
        """Send a _bulk body, give its answer. Raises StoreUnavailableError, TooLargeError and TooBusyError."""
        ...

    def ping(self) -> bool:
        """Say whether the engine answers."""
        ...

    def prepare(self, index: str) -> bool:
        """Make sure that an index is there and can take our fields, say if so. Raises StoreUnavailableError."""
        ...


class Refuse(Protocol):
    """Gives a document in a form that the engine refuses less."""

    def __call__(self, document: Document, reasons: Sequence[str]) -> Document | None:
        """Give the document to store after these refusals, None where there is no further form."""
        ...


class Observer(Protocol):
    """Is told what happens, for metrics and logs."""

    def waiting(self, size: int) -> None:
        """So many bytes wait for the engine."""
        ...

    def bulk_sent(self, changes: int, size: int, seconds: float) -> None:
        """One _bulk was answered."""
        ...

    def happened(self, what: str, index: str, reason: str) -> None:
        """Count a conflict, a retry, a refused or a dead-lettered document."""
        ...


class Unobserved:
    """The observer of a writer of which nobody asks."""

    def waiting(self, size: int) -> None:
        """Nobody asks."""

    def bulk_sent(self, changes: int, size: int, seconds: float) -> None:
        """Nobody asks."""

    def happened(self, what: str, index: str, reason: str) -> None:
        """Nobody asks."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the writer: see the settings of the same names."""

    timeout_seconds: float = 10.0
    max_pending_bytes: int = 64 * 2**20
    bulk_max_bytes: int = 5 * 2**20
    cache_max_bytes: int = 16 * 2**20
    dead_letter_index: str = DEAD_LETTER_INDEX


@dataclass(slots=True, eq=False)
class Task:
    """A plan under way, and who waits for its end."""

    plan: Plan
    end: Promise[Any]
    weight: int
    deadline: float
    results: list[Document | None] | None = None
    missing: int = 0


@dataclass(slots=True, eq=False)
class Slot:
    """One document that changes are waiting for."""

    index: str
    id: str
    fixed: str = ""
    """The index that it is in, where there is no other one of the name."""
    place: str = ""
    """The index that has the document, or will have it; empty until that is known: see places.Places."""
    waiting: list[tuple[Task, int, Change]] = field(default_factory=list)
    applied: list[tuple[Task, int, Change]] = field(default_factory=list)
    """Those of the waiting that the request under way contains; others may come meanwhile."""
    under_way: bool = False
    """Whether a request for it is under way."""
    known: Known | None = None
    reasons: list[str] = field(default_factory=list)
    attempts: int = 0
    delayed_by: str = ""
    """Why the engine could not take it the last time."""
    not_before: float = 0.0
    sent: Document | None = None
    buried: bool = False
    first: bool = False
    """Whether the request under way is the first of a document that is most likely new."""
    there: bool = False
    """Whether the engine said that there is a document, though not which."""
    checking: bool = False
    """Whether the request under way only asks if the document is still there."""
    again: bool = False
    """Whether it is to be looked for wherever it may be: it isn't where it was."""
    looked: bool = False
    """Whether it was looked for wherever it may be."""
    begun: int = 0
    """How often it was sent to be begun: more than once where there was no answer."""
    met: bool = False
    """Whether it was there already when it was to be begun."""
    unsure: bool = False
    """Whether another writer may have begun it in another index: it is stored, and to be looked for."""
    copies: list[Known] = field(default_factory=list)
    """What other indices have of the document: to be joined to it, and then removed."""
    removing: bool = False
    """Whether the request under way removes the first of the copies."""

    def __post_init__(self) -> None:
        self.place = self.fixed

    def lose(self) -> None:
        """Forget what was found of the document: it is to be looked for again, wherever it may be."""
        self.known, self.copies, self.begun = None, [], 0
        self.looked = self.met = self.unsure = False
        self.place, self.again = self.fixed, not self.fixed
