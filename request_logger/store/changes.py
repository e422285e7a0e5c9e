"""What is asked of the store: pure changes of documents, and plans made of them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any

Document = dict[str, Any]


class Reads(Enum):
    """How recent the document must be that a change which changes nothing is answered with."""

    NOTHING = "the change writes"
    KNOWN = "as it was known last"
    CURRENT = "as the engine has it now"


@dataclass(slots=True)
class Change:
    """A pure function over one document.

    ``apply`` gets the stored document (None where there is none; it must not be changed in place) and returns the
    document to store: the same object to leave it, None for none. It may be called several times, until no other
    writer came in between. ``reads`` says of a change that only reads how recent the answer must be. ``first``: whether
    it is most likely the first change of its document.

    ``day`` (UTC) is that in which a new document would begin, None where ``index`` has no periods. ``late``: where it
    has, the document is likely to be there, of another day.
    """

    index: str
    id: str
    apply: Callable[[Document | None], Document | None]
    first: bool = False
    day: date | None = None
    late: bool = False
    reads: Reads = Reads.NOTHING


def as_it_is(stored: Document | None) -> Document | None:
    """Return the document: the function of a change that only reads."""
    return stored


# A plan yields changes that may be sent together and gets their final documents, in order; it is stored when it ends,
# and what it returns is the result of its future. UnreadableError is raised in it where a document can't be read.
Plan = Generator[list[Change], list[Document | None], Any]


class StoreUnavailableError(RuntimeError):
    """The engine can't take this now; trying again later can help."""


class TooLargeError(StoreUnavailableError):
    """The engine takes no request of this size (its http.max_content_length); it may take the half of it."""


class TooBusyError(StoreUnavailableError):
    """The engine has too much to do for a request of this size; later, or of the half of it, it may take it."""


class RefusedRequestError(StoreUnavailableError):
    """The engine refuses a whole request because of its content; without the culprit it may take the rest."""


class UnreadableAnswerError(StoreUnavailableError):
    """The engine's answer is no answer to the request; it may be able to answer a part of it."""


class RejectedError(RuntimeError):
    """The engine refuses this in every form; trying again can't help."""


class UnreadableError(RejectedError):
    """The engine refuses to read a document, so that nobody can say what it holds."""
