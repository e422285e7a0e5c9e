"""The writer's limits, and the interfaces it needs: search engine, degradation, observer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from request_logger.store.changes import Document
from request_logger.store.indices.templates import DEAD_LETTER_INDEX


class Engine(Protocol):
    """What the writer needs of the search engine."""

    def request(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request, return status and answer. Raises StoreUnavailableError where there is none."""
        ...

    def bulk(self, body: bytes) -> Any:
        """Send a _bulk body, return its answer. Raises StoreUnavailableError and its subclasses."""
        ...

    def ping(self) -> bool:
        """Return whether the engine answers."""
        ...

    def prepare(self, index: str) -> bool:
        """Make sure that an index exists and has our fields; False: it is blocked. Raises StoreUnavailableError."""
        ...

    def forget(self, index: str) -> None:
        """Take an index for missing: the next `prepare` checks it, and the templates, again."""
        ...


class Degrade(Protocol):
    """Returns a document in a form in which the engine has less to refuse."""

    def __call__(self, document: Document, reasons: Sequence[str], /) -> Document | None:
        """Return the document to store after these refusals, None where there is no further form."""
        ...


class Observer(Protocol):
    """Is told what happens, for metrics and logs."""

    def waiting(self, size: int) -> None:
        """Note how many bytes wait for the engine."""
        ...

    def bulk_sent(self, changes: int, size: int, seconds: float) -> None:
        """Note that one _bulk was answered."""
        ...

    def happened(self, what: str, index: str, reason: str) -> None:
        """Count a conflict, a retry, a refused or a dead-lettered document."""
        ...


class NullObserver:
    """Ignores all notifications."""

    def waiting(self, size: int) -> None:
        """Ignore it."""

    def bulk_sent(self, changes: int, size: int, seconds: float) -> None:
        """Ignore it."""

    def happened(self, what: str, index: str, reason: str) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the writer: see the settings of the same names."""

    timeout_seconds: float = 10.0
    max_pending_bytes: int = 64 * 2**20
    bulk_max_bytes: int = 5 * 2**20
    cache_max_bytes: int = 16 * 2**20
    dead_letter_index: str = DEAD_LETTER_INDEX
