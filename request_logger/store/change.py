"""What is asked of the store: pure changes of documents, and plans made of them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import date
from typing import Any

Document = dict[str, Any]


@dataclass(slots=True)
class Change:
    """A pure function over one document.

    ``apply`` gets the stored document (None where there is none; it must not be changed in place) and gives the
    document to store: the same object to leave it, None for none. It may be called several times, until no other
    writer came in between. ``first``: whether it is most likely the first change of its document.

    ``day`` (UTC) is that in which a new document would begin, None where ``index`` has no periods. ``late``: where it
    has, the document is likely to be there, of another day.
    """

    index: str
    id: str
    apply: Callable[[Document | None], Document | None]
    first: bool = False
    day: date | None = None
    late: bool = False


def unchanged(stored: Document | None) -> Document | None:
    """Read a document as it was known last: the change that changes nothing."""
    return stored


def current(stored: Document | None) -> Document | None:
    """Read a document as the engine has it now, whatever is known of it."""
    return stored


# A plan yields changes that may be sent together and gets their final documents, in order; it is stored when it ends,
# and what it returns is the result of its future.
Plan = Generator[list[Change], list[Document | None], Any]


class StoreUnavailableError(RuntimeError):
    """The engine can't take this now; trying again later can help."""


class TooLargeError(StoreUnavailableError):
    """The engine takes no request of this size (its http.max_content_length); it may take the half of it."""


class TooBusyError(StoreUnavailableError):
    """The engine has too much to do for a request of this size; later, or of the half of it, it may take it."""


class RejectedError(RuntimeError):
    """The engine refuses this in every form; trying again can't help."""
