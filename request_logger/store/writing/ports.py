"""The writer's limits, and the interfaces it needs: search engine, degradation, observer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from request_logger.common.pieces import Pieces
from request_logger.store.changes import Document
from request_logger.store.indices.templates import DEAD_LETTER_INDEX


class Engine(Protocol):
    """The search engine, as the writer uses it. Implementations are thread-safe."""

    def request(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request; return its status and parsed answer. Raises StoreUnavailableError if there is no answer."""
        ...

    def bulk(self, body: bytes | Pieces) -> Any:
        """Send a _bulk body; return its answer. Raises StoreUnavailableError and its subclasses."""
        ...

    def ping(self) -> bool:
        """Return whether the search engine answers."""
        ...

    def prepare(self, index: str) -> bool:
        """Create an index and its fields where missing; False: it is blocked. Raises StoreUnavailableError."""
        ...

    def forget(self, index: str) -> None:
        """Treat an index as missing: the next `prepare` checks it, and the index templates, again."""
        ...


class Degrade(Protocol):
    """Degrades a document that the search engine refused to a form with less to refuse."""

    def __call__(self, document: Document, reasons: Sequence[str], /) -> Document | None:
        """Return the form to store after refusals with these reasons, None if there is no further form."""
        ...


class Observer(Protocol):
    """Receives notifications for metrics and logs, from any thread of the writer."""

    def waiting(self, size: int) -> None:
        """Record the size of the unfinished plans (bytes)."""
        ...

    def bulk_sent(self, changes: int, size: int, seconds: float) -> None:
        """Record an answered _bulk: its documents, its bytes, and its duration in seconds."""
        ...

    def happened(self, what: str, index: str, reason: str) -> None:
        """Count an event by its name ``what``: a conflict, a retry, a refused or dead-lettered document..."""
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
    """The writer's limits: see the settings of the same names."""

    timeout_seconds: float = 10.0
    linger_seconds: float = 0.1
    max_pending_bytes: int = 64 * 2**20
    bulk_max_bytes: int = 5 * 2**20
    cache_max_bytes: int = 16 * 2**20
    dead_letter_index: str = DEAD_LETTER_INDEX
