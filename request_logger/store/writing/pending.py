"""A document with pending changes, and the plans that they belong to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from request_logger.store.changes import Change, Document, Plan, Reads, UnreadableError
from request_logger.store.writing.bulk import Request
from request_logger.store.writing.future import Future
from request_logger.store.writing.states import Action, State
from request_logger.store.writing.version_cache import Known


@dataclass(slots=True, eq=False)
class Task:
    """A plan being carried out, and who waits for its end.

    ``weight`` is what it holds in memory (bytes), ``deadline`` is when it fails (seconds, of the core's clock).
    """

    plan: Plan
    end: Future[Any]
    weight: int
    deadline: float
    results: list[Document | None] | None = None
    missing: int = 0
    unreadable: UnreadableError | None = None
    """Why a document of the current changes can't be read."""
    documents: list[PendingDocument | None] = field(default_factory=list)
    """Where each of the current changes waits, None once it has its result."""


@dataclass(slots=True, eq=False)
class Entry:
    """One change that waits: which of its task's current changes it is."""

    task: Task
    position: int
    change: Change


ANY_NUMBER = 2**31


@dataclass(slots=True, eq=False)
class PendingDocument:
    """One document that changes are waiting for. What happens to it next: see `states`."""

    index: str
    id: str
    state: State
    is_multi_index: bool = False
    """Documents of its name may be in several indices."""
    target_index: str = ""
    """The index that has the document, or will have it; empty until that is known."""
    action: Action | None = None
    """The request under way, None while it waits."""
    request: Request | None = None
    entries: list[Entry] = field(default_factory=list)
    applied: int = 0
    """How many of the entries, from the first one on, were applied for the request under way."""
    live: int = 0
    """Entries whose tasks have not ended."""
    known: Known | None = None
    copies: list[Known] = field(default_factory=list)
    """What other indices have of the document: to be joined to it, and then removed."""
    wanted: Document | None = None
    """What the request under way stores."""
    reasons: list[str] = field(default_factory=list)
    """Why the engine has refused it, once for each form."""
    attempts: int = 0
    """Pauses so far, which grow with their number."""
    not_before: float = 0.0
    delayed_by: str = ""
    """Why the last pause was necessary."""
    failures: int = 0
    """How often its request failed alone without a readable answer, or could not be made."""
    most_beside: int = ANY_NUMBER
    """The largest _bulk that its request may be in: smaller after one that was refused whole."""
    guesses_new: bool = False
    """Whether the request under way depends on the guess that it doesn't exist: see CreatePolicy."""
    exists: bool = False
    """The engine has said that there is a document, though not which."""

    @property
    def key(self) -> tuple[str, str]:
        """The name of its index, without a period, and its id."""
        return self.index, self.id

    def target(self, letters: str) -> str:
        """Return the index that its next request in a _bulk goes to; ``letters`` is that of dead letters."""
        return letters if self.state is State.UNINDEXABLE else self.target_index

    def has_current_read(self) -> bool:
        """Return whether a change wants the document as the engine has it now."""
        return any(entry.change.reads is Reads.CURRENT for entry in self.entries)

    def forget(self) -> None:
        """Forget all that was found out about the document."""
        self.known, self.copies, self.wanted = None, [], None
        self.reasons, self.exists = [], False
