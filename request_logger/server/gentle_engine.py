"""The search engine as a computation sees it that nobody waits for: most of it is left to events and viewers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from request_logger.store.ports import EngineReader

# One shard at a time, so that a search takes one core of each node.
_ONE_SHARD = {"max_concurrent_shard_requests": "1"}
_NARROW = {"/_search": _ONE_SHARD, "/_msearch": {**_ONE_SHARD, "max_concurrent_searches": "1"}}
# After each request it rests for so many times as long as it took.
REST = 1.0


class GentleEngine:
    """An `EngineReader` that sends one small request at a time, and none while others hold ``turn``."""

    def __init__(self, engine: EngineReader, turn: threading.Lock, pause: Callable[[float], None] = time.sleep) -> None:
        self._engine = engine
        self._turn = turn
        self._pause = pause

    def request(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request when it is its turn, and rest. Raises StoreUnavailableError."""
        narrow = next((found for end, found in _NARROW.items() if path.endswith(end)), {})
        with self._turn:
            started = time.monotonic()
            answer = self._engine.request(method, path, body, params={**(params or {}), **narrow})
        self._pause(REST * (time.monotonic() - started))
        return answer
