"""Memory that requests may hold in one process (MEMORY_BUDGET_BYTES): counted from the first byte to the answer.

A body is the least of what an event holds. Measured (CPython 3.11, 64 bits, resident memory, an engine that doesn't
answer, so that everything waits): 300 kB of ``[[1],[1],...]`` become 75,000 rows with a document and a change each,
which hold 148 MB, 490 bytes for each byte of the body. So rows are counted one by one once they are known, and parsed
JSON is estimated by the characters that make objects.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from request_logger.documents.event import BadEventError
from request_logger.store.changes import StoreUnavailableError

# What each character of JSON makes at most, in bytes: an empty list with its place in another one, a dictionary of one
# entry, a number with its place, and half a short text. Measured with orjson: 4 to 31 bytes a byte of JSON, of which
# these estimate all, by a factor of 1.1 to 4.
_LIST_BYTES = 80
_OBJECT_BYTES = 180
_VALUE_BYTES = 32
_QUOTE_BYTES = 25
# A text with one character beyond the Basic Multilingual Plane takes four bytes for each of its characters.
_WIDEST_CHARACTER_BYTES = 4

# Measured: 1,800 to 2,100 bytes a row beside its values (part, change, document, and its place in the writer).
ROW_BYTES = 2_200
# Measured: 6,200 bytes for an event of one row and 99 bytes, of which a row and its values are half.
EVENT_BYTES = 3_500
# A row's values are held twice, in its instance and by name in its elements; so is what is sent and what is cached.
_COPIES = 2


_TOO_LARGE = "body: takes more memory than MEMORY_BUDGET_BYTES allows"


class RequestTooLargeError(BadEventError):
    """The request can never be taken: it is larger than a setting allows, which the text names."""


class NoRoomError(StoreUnavailableError):
    """Other requests hold the memory; a retry can help."""


class Budget:
    """Bytes that requests hold together, ``most_bytes`` at most. Thread-safe; nobody waits for room."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Take room. Raises NoRoomError where others hold it, RequestTooLargeError where there can never be any."""
        if size > self.most_bytes:
            raise RequestTooLargeError(_TOO_LARGE)
        with self._lock:
            if self.held_bytes + size > self.most_bytes:
                raise NoRoomError("requests under way hold all of MEMORY_BUDGET_BYTES")
            self.held_bytes += size

    def give_back(self, size: int) -> None:
        """Return room that was taken."""
        with self._lock:
            self.held_bytes -= size

    def most_rows(self, held: int) -> int:
        """Return how many rows an event may have that holds so many bytes beside them.

        Raises RequestTooLargeError where there is none for one row.
        """
        if held + ROW_BYTES > self.most_bytes:
            raise RequestTooLargeError(_TOO_LARGE)
        return (self.most_bytes - held) // ROW_BYTES

    def share(self) -> Share:
        """Return a context manager through which a request takes room and that returns all of it at its end."""
        return Share(self)


class Share:
    """Room that one request has taken."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held_bytes = 0

    def take(self, size: int) -> None:
        """Take more room. Raises what Budget.take raises, RequestTooLargeError also for the sum."""
        if self.held_bytes + size > self._budget.most_bytes:
            raise RequestTooLargeError(_TOO_LARGE)
        self._budget.take(size)
        self.held_bytes += size

    def give_back(self) -> None:
        """Return all of it."""
        self._budget.give_back(self.held_bytes)
        self.held_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()


def parsed_bytes(raw: bytes | bytearray, start: int = 0, end: int | None = None) -> int:
    """Estimate from above what the values of a JSON text, or of a part of it, hold in memory, in bytes.

    It counts characters and parses nothing.
    """
    end = len(raw) if end is None else end
    is_narrow = end - start == len(raw) and raw.isascii()
    return (
        raw.count(b"[", start, end) * _LIST_BYTES
        + raw.count(b"{", start, end) * _OBJECT_BYTES
        + raw.count(b",", start, end) * _VALUE_BYTES
        + raw.count(b'"', start, end) * _QUOTE_BYTES
        + (end - start) * (1 if is_narrow else _WIDEST_CHARACTER_BYTES)
    )


def event_bytes(raw: bytes | None) -> int:
    """Estimate what an event holds beside its rows from its decoding until it is stored, in bytes."""
    return EVENT_BYTES + (_COPIES * parsed_bytes(raw) if raw is not None else 0)
