"""What those need of the engine who only ask it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class EngineReader(Protocol):
    """What is needed of the engine."""

    def request(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request, give status and answer. Raises StoreUnavailableError where there is none."""
        ...
