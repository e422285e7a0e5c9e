"""The read-only interface of the search engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class EngineReader(Protocol):
    """Sends read-only requests to the search engine."""

    def request(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request; return its status and parsed answer. Raises StoreUnavailableError if there is no answer."""
        ...
