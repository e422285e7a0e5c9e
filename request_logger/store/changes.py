"""The store's interface: pure changes of documents, plans made of them, and errors."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any

Document = dict[str, Any]


class Reads(Enum):
    """How recent the document must be that is returned for a change that only reads."""

    NOTHING = "the change writes"
    KNOWN = "a cached version suffices"
    CURRENT = "as the search engine has it now"


class TwoSteps:
    """The ``apply`` of a change that is made in two steps: `join` and, if the document changed, `finish`.

    ``finish`` is a function of the document alone: the writer calls it once after several changes with the same one.
    """

    __slots__ = ("finish", "join")

    def __init__(self, join: Callable[[Document | None], Document], finish: Callable[[Document], Document]) -> None:
        self.join = join
        self.finish = finish

    def __call__(self, stored: Document | None) -> Document:
        """Return the document after both steps; the same object where the change leaves it as it is."""
        joined = self.join(stored)
        return joined if joined is stored else self.finish(joined)


def apply_all(changes: Iterable[Change], stored: Document | None) -> Document | None:
    """Return the document after several changes. Raises what one of them raises."""
    result = stored
    finish: Callable[[Document], Document] | None = None
    for change in changes:
        apply: Callable[[Document | None], Document | None] = change.apply
        own = None
        if isinstance(apply, TwoSteps):
            own = apply.finish
            apply = apply.join
        if finish is not None and finish is not own and result is not None:
            result, finish = finish(result), None
        before = result
        result = apply(before)
        if own is not None and result is not before:
            finish = own
    return result if finish is None or result is None else finish(result)


@dataclass(slots=True)
class Change:
    """A pure, idempotent function over one document.

    ``apply`` takes the stored document (None if there is none; it must not be modified) and returns the document to
    store: the same object to leave it unchanged, None to have no document. It is called again after each conflict with
    another writer. ``reads`` is for changes that only read. ``first``: this is most likely the first change of its
    document.

    ``day`` (UTC) selects the index of a new document, None if ``index`` is the exact index. ``late``: the document was
    most likely created on another day, so the indices of other periods are searched first.
    """

    index: str
    id: str
    apply: Callable[[Document | None], Document | None]
    first: bool = False
    day: date | None = None
    late: bool = False
    reads: Reads = Reads.NOTHING


def as_it_is(stored: Document | None) -> Document | None:
    """Return the document unchanged: the ``apply`` of a change that only reads."""
    return stored


# A plan yields lists of changes that may be sent together, and receives their final documents in order. When it ends,
# all of its changes are stored, and its return value is the result of its future. If a document can't be read,
# UnreadableError is raised in the plan.
Plan = Generator[list[Change], list[Document | None], Any]


class StoreUnavailableError(RuntimeError):
    """The search engine can't accept this now; a retry can succeed."""


class TooLargeError(StoreUnavailableError):
    """The search engine accepts no request of this size (http.max_content_length); half of it may succeed."""


class TooBusyError(StoreUnavailableError):
    """The search engine has no capacity for a request of this size now; half of it, or a retry, may succeed."""


class RefusedRequestError(StoreUnavailableError):
    """The search engine refuses a whole request because of the content of one item; the others may succeed."""


class UnreadableAnswerError(StoreUnavailableError):
    """The search engine's answer can't be read as an answer to the request; parts of the request may succeed."""


class RejectedError(RuntimeError):
    """The search engine refuses this in every form; no retry helps."""


class UnreadableError(RejectedError):
    """The search engine refuses to read a document, so its content is unknown."""
