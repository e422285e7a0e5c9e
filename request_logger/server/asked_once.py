"""The search engine as one page sees it: each search is sent once, however many parts of the page need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from request_logger.common.json import dumps
from request_logger.store.errors import is_partial
from request_logger.store.ports import EngineReader

_REPEATABLE = ("/_search", "/_msearch", "/_field_caps", "/_settings", "/_mapping")
# Those of one point in time must see what was written meanwhile, and a scroll goes on.
_NOT_REPEATABLE = frozenset(("preference", "scroll", "pit"))


class AskedOnce:
    """An `EngineReader` that remembers answers. For one page view, by one thread."""

    def __init__(self, engine: EngineReader) -> None:
        self._engine = engine
        self._known: dict[bytes, tuple[int, Any]] = {}

    def request(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request, or return the answer to the same request before. Raises StoreUnavailableError."""
        if not path.endswith(_REPEATABLE) or _NOT_REPEATABLE & {*(params or ()), *_names(body)}:
            return self._engine.request(method, path, body, params=params)
        text = body.decode() if isinstance(body, bytes) else body
        key = dumps([method, path, dict(params or {}), text])
        if key not in self._known:
            answer = self._engine.request(method, path, body, params=params)
            if not _is_whole(*answer):
                # A repeated request may succeed, such as when a shard has started in the meantime.
                return answer
            self._known[key] = answer
        return self._known[key]


def _is_whole(status: int, answer: Any) -> bool:
    """Return whether an answer, and of a _msearch each of its answers, lacks nothing."""
    parts = answer.get("responses", [answer]) if isinstance(answer, dict) else [answer]
    return status == 200 and not any(
        isinstance(part, dict) and (part.get("status", 200) != 200 or is_partial(part)) for part in parts
    )


def _names(body: Any) -> set[str]:
    """Return the names at the top of a body; of a _msearch those of its first line."""
    if isinstance(body, bytes):
        return {name for name in _NOT_REPEATABLE if f'"{name}":'.encode() in body.partition(b"\n")[0]}
    return set(body) if isinstance(body, dict) else set()
