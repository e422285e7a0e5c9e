"""Limits the memory that requests hold in one process (MEMORY_BUDGET_BYTES), from the first byte to the answer.

A body is the smallest part of what an event holds. Measured (CPython 3.11, 64 bits, resident memory, with an engine
that doesn't answer, so that everything waits): 300 kB of ``[[1],[1],...]`` become 75,000 rows with a document and a
change each, which hold 148 MB, 490 bytes per byte of the body. So rows are counted individually once they are known,
and parsed JSON is estimated by the characters that create objects.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from request_logger.common.json_scan import weight
from request_logger.documents.event import BadEventError
from request_logger.store.changes import StoreUnavailableError

# The memory (bytes) that each of these characters of JSON creates at most: an empty list with its slot in another list,
# a dictionary of one entry, a number with its slot, half a short text. Measured with orjson: 4 to 31 bytes per byte of
# JSON, which these overestimate by a factor of 1.1 to 4.
_CREATING = {ord("["): 80, ord("{"): 180, ord(","): 32, ord('"'): 25}
# A text with one character beyond the Basic Multilingual Plane takes four bytes for each of its characters.
_WIDEST_CHARACTER_BYTES = 4

# Measured: 1,800 to 2,100 bytes per row besides its values (part, change, document, and its entry in the writer).
ROW_BYTES = 2_200
# Measured: 6,200 bytes for an event of one row and 99 bytes, half of which are the row and its values.
EVENT_BYTES = 3_500
# A row's values are held twice, in its instance and by name in its elements; so are the sent and the cached document.
_COPIES = 2


# `Budget` reports what is held when it has changed by this share of the budget: a report costs more than a reservation.
_REPORTED_STEPS = 64

_TOO_LARGE = "body: takes more memory than MEMORY_BUDGET_BYTES allows"


class RequestTooLargeError(BadEventError):
    """The request can never be accepted: it is larger than a setting allows; the text names the setting."""


class NoRoomError(StoreUnavailableError):
    """Other requests hold the memory; a retry may succeed."""


class Budget:
    """The bytes that all requests hold together, at most ``most_bytes``. Thread-safe; `take` never blocks.

    ``report`` is called with the bytes that are held, to 1/64 of ``most_bytes``.
    """

    def __init__(self, most_bytes: int, report: Callable[[int], object] = lambda _held: None) -> None:
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self._report = report
        self._step_bytes = max(most_bytes // _REPORTED_STEPS, 1)
        self._reported_step = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Reserve bytes. Raises NoRoomError if others hold them, RequestTooLargeError if they exceed the budget."""
        if size > self.most_bytes:
            raise RequestTooLargeError(_TOO_LARGE)
        with self._lock:
            held = self.held_bytes + size
            if held > self.most_bytes:
                raise NoRoomError("requests in progress hold all of MEMORY_BUDGET_BYTES")
            self.held_bytes = held
            if held // self._step_bytes != self._reported_step:
                self._tell()

    def give_back(self, size: int) -> None:
        """Release reserved bytes."""
        with self._lock:
            self.held_bytes -= size
            if self.held_bytes // self._step_bytes != self._reported_step:
                self._tell()

    def _tell(self) -> None:
        self._reported_step = self.held_bytes // self._step_bytes
        self._report(self.held_bytes)

    def most_rows(self, held: int) -> int:
        """Return how many rows an event may have that holds ``held`` bytes besides them.

        Raises RequestTooLargeError where not even one row fits.
        """
        if held + ROW_BYTES > self.most_bytes:
            raise RequestTooLargeError(_TOO_LARGE)
        return (self.most_bytes - held) // ROW_BYTES

    def share(self) -> Share:
        """Return a context manager for one request's reservations, which releases all of them at its end."""
        return Share(self)


class Share:
    """The bytes that one request has reserved. Not thread-safe."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held_bytes = 0

    def take(self, size: int) -> None:
        """Reserve more bytes. Raises what Budget.take raises, and RequestTooLargeError for the sum."""
        if self.held_bytes + size > self._budget.most_bytes:
            raise RequestTooLargeError(_TOO_LARGE)
        self._budget.take(size)
        self.held_bytes += size

    def give_back(self) -> None:
        """Release all reserved bytes."""
        self._budget.give_back(self.held_bytes)
        self.held_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()


def parsed_bytes(raw: bytes | bytearray, start: int = 0, end: int | None = None) -> int:
    """Return an upper estimate of the memory (bytes) of the parsed values of a JSON text, or of a slice of it.

    It counts characters without parsing.
    """
    end = len(raw) if end is None else end
    is_narrow = end - start == len(raw) and raw.isascii()
    return weight(raw, _CREATING, start, end) + (end - start) * (1 if is_narrow else _WIDEST_CHARACTER_BYTES)


def event_bytes(raw: bytes | None) -> int:
    """Return an estimate of the memory (bytes) that an event holds besides its rows, until it is stored."""
    return EVENT_BYTES + (_COPIES * parsed_bytes(raw) if raw is not None else 0)
