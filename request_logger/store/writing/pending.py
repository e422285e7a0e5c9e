"""A document with pending changes, and the plans that they belong to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from request_logger.store.changes import Change, Document, Plan, Reads, UnreadableError
from request_logger.store.writing.bulk import BulkItem
from request_logger.store.writing.future import Future
from request_logger.store.writing.states import Action, State
from request_logger.store.writing.version_cache import Known


@dataclass(slots=True, eq=False)
class Task:
    """A plan in progress, and the future that ends with it.

    ``weight`` is its memory use (bytes). By the core's clock (seconds), ``deadline`` is when it fails, and
    ``wait_until`` how long it may wait in the queue for others.
    """

    plan: Plan
    end: Future[Any]
    weight: int
    deadline: float
    wait_until: float = -math.inf
    results: list[Document | None] | None = None
    missing: int = 0
    unreadable: UnreadableError | None = None
    """The error to raise in the plan: a document of the current changes can't be read."""
    documents: list[PendingDocument | None] = field(default_factory=list)
    """The document that holds each of the current changes; None once the change has its result."""


@dataclass(slots=True, eq=False)
class Entry:
    """A queued change; ``position`` is its index among the task's current changes."""

    task: Task
    position: int
    change: Change


ANY_NUMBER = 2**31
"""For `PendingDocument.max_bulk_documents`: no limit."""


@dataclass(slots=True, eq=False)
class PendingDocument:
    """A document with queued changes. `states` decides what happens to it next."""

    index: str
    id: str
    state: State
    is_multi_index: bool = False
    """Documents of its name may be in several indices."""
    target_index: str = ""
    """The index that has the document, or will have it; empty until it is known."""
    action: Action | None = None
    """The action in flight, None if there is none."""
    request: BulkItem | None = None
    entries: list[Entry] = field(default_factory=list)
    applied: int = 0
    """How many entries, from the first on, were applied for the request in flight."""
    live: int = 0
    """The number of entries whose tasks have not ended."""
    known: Known | None = None
    copies: list[Known] = field(default_factory=list)
    """Copies in other indices: to be joined to the document, then deleted."""
    wanted: Document | None = None
    """The document that the request in flight stores."""
    reasons: list[str] = field(default_factory=list)
    """Why the search engine refused it, one reason per form."""
    attempts: int = 0
    """The number of pauses so far; each is longer than the one before."""
    conflicts: int = 0
    """The number of conflicts since its current changes are being stored."""
    not_before: float = 0.0
    delayed_by: str = ""
    """The reason for the last pause."""
    failures: int = 0
    """How often its request was sent alone without a readable answer, or could not be built."""
    doubts: int = 0
    """How often its request was refused as a whole, alone, and is sent again unchanged."""
    max_bulk_documents: int = ANY_NUMBER
    """How many documents a _bulk with this one may have: halved after each _bulk that failed as a whole."""
    guesses_new: bool = False
    """Whether the action in flight depends on the guess that the document doesn't exist: see CreatePolicy."""
    exists: bool = False
    """The search engine reported that the document exists, without its content."""
    key: tuple[str, str] = field(init=False)
    """The name of its index (without a period) and its id."""

    def __post_init__(self) -> None:
        self.key = (self.index, self.id)

    def target(self, dead_letter_index: str) -> str:
        """Return the index that its next _bulk item is for."""
        return dead_letter_index if self.state is State.UNINDEXABLE else self.target_index

    def has_current_read(self) -> bool:
        """Return whether a change needs the document as the search engine has it now."""
        return any(entry.change.reads is Reads.CURRENT for entry in self.entries)

    def forget(self) -> None:
        """Drop everything that is known about the stored document."""
        self.known, self.copies, self.wanted = None, [], None
        self.reasons, self.exists = [], False
