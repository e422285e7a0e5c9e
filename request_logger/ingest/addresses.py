"""The ids of a prediction's documents, and steps of plans on these documents."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import date
from typing import Any

from request_logger.common.names import document_id, item_id, other_owner
from request_logger.documents.document import Document, same_owner
from request_logger.documents.event import Event, owner_of
from request_logger.store.changes import Change, Reads, RejectedError, as_it_is

# The parts that usually arrive first of their document.
_FIRST = ("request", "drift")

Apply = Callable[[Document | None], Document | None]
Step = tuple[int | None, Apply | Reads]
"""A row (None: the plain document), and the change to its document or how recently to read it."""
Results = Generator[list[Change], list[Document | None], list[Document | None]]


class Address:
    """The ids of one prediction's documents; they change where an id belongs to another deployment's document.

    ``header`` names the deployment. ``first``: the part usually arrives first of its document. ``late``: the documents
    probably exist already, with other days than ``day``.
    """

    __slots__ = ("_first", "_rows", "_single", "day", "header", "index", "late", "request_id")

    def __init__(
        self, index: str, request_id: str, header: Mapping[str, Any], day: date, *, first: bool, late: bool
    ) -> None:
        self.index = index
        self.request_id = request_id
        self.header = header
        self.late = late
        self.day = day
        self._first = first
        self._single = self._rows = request_id

    @classmethod
    def of(cls, event: Event) -> Address:
        """Return that of an event's prediction."""
        late = event.part == "feedback"
        first = event.part in _FIRST
        return cls(event.index, event.request_id, event.header, event.day, first=first, late=late)

    def of_batch(self, request_id: str) -> Address:
        """Return the address of another request id of the same deployment."""
        return Address(self.index, request_id, self.header, self.day, first=self._first, late=self.late)

    def id(self, row: int | None) -> str:
        """Return the id of a row's document; None: of the plain document."""
        return document_id(self._single) if row is None else item_id(self._rows, row)

    def change(self, row: int | None, do: Apply | Reads) -> Change:
        """Return the change that executes a step on a row's document."""
        apply, reads = (as_it_is, do) if isinstance(do, Reads) else (do, Reads.NOTHING)
        return Change(self.index, self.id(row), apply, self._first and not self.late, self.day, self.late, reads)

    def move(self, row: int | None) -> None:
        """Use other ids for the plain document, or for the rows. Raises RejectedError if they are in use already."""
        elsewhere = other_owner(self.request_id, repr(owner_of(self.header)))
        if elsewhere in ((self._single,) if row is None else (self._rows,)):
            raise RejectedError(f"two deployments have the same ids in {self.index}")
        if row is None:
            self._single = elsewhere
        else:
            self._rows = elsewhere


def run(address: Address, steps: Sequence[Step]) -> Results:
    """Execute steps on the documents of one prediction together, see `run_each`."""
    if len(steps) > 1:
        return run_each([(address, row, do) for row, do in steps])
    return _run_one(address, *steps[0])


def _run_one(address: Address, row: int | None, do: Apply | Reads) -> Results:
    """Execute the only step of most plans, as `run_each` does."""
    while True:
        results = yield [address.change(row, do)]
        if results[0] is None or same_owner(results[0], address.header):
            return results
        address.move(row)


def run_each(steps: Sequence[tuple[Address, int | None, Apply | Reads]]) -> Results:
    """Execute steps together; repeat them under other ids where another deployment's document is in the way."""
    while True:
        results = yield [address.change(row, do) for address, row, do in steps]
        foreign = {
            (id(address), row is None): (address, row)
            for (address, row, _), result in zip(steps, results, strict=True)
            if result is not None and not same_owner(result, address.header)
        }
        if not foreign:
            return results
        for address, row in foreign.values():
            address.move(row)
