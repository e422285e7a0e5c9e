"""Access to the search engine for commands: a failed request ends the command with one line."""

from __future__ import annotations

import logging
from typing import Any

from request_logger.errors import CommandError
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from request_logger.store.errors import reason_of


def quiet_engine(settings: Settings) -> SearchEngine:
    """Return the search engine of the settings, with its client's logging silenced."""
    # The clients log a failed request with a traceback; the command reports the same in one line.
    for name in ("opensearch", "elastic_transport", "elasticsearch"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return SearchEngine(settings)


def ask(
    engine: SearchEngine,
    method: str,
    path: str,
    body: Any = None,
    *,
    params: dict[str, str] | None = None,
    missing: dict[str, Any] | None = None,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Send a request and return the response's body, or ``missing``, if given, for the status 404.

    ``timeout`` (seconds) defaults to that of the settings. Raises CommandError for any other status than 200, and
    StoreUnavailableError if there is no response.
    """
    status, answer = engine.request(method, path, body, params=params, timeout=timeout)
    if status == 404 and missing is not None:
        return missing
    if status != 200 or not isinstance(answer, dict):
        hint = ": it has no delete-by-query" if path.endswith("_by_query") and status in (400, 404, 405) else ""
        raise CommandError(f"{engine.urls[0]} answered {status} to {method} {path}{hint}: {reason_of(answer)[:300]}")
    return answer
