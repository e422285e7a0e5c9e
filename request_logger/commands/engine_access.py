"""The engine as a command asks it: what fails is one line of ours."""

from __future__ import annotations

import logging
from typing import Any

from request_logger.errors import CommandError
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine


def quiet_engine(settings: Settings) -> SearchEngine:
    """Give the engine of the settings, without its clients' tracebacks in the log."""
    # They log a request that failed with a traceback; one line of ours says the same.
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
    """Give the engine's answer, or ``missing`` where that is given and the engine answers 404.

    ``timeout`` (seconds) is by default that of the settings. Raises CommandError for any other status than 200,
    StoreUnavailableError where there is no answer.
    """
    status, answer = engine.request(method, path, body, params=params, timeout=timeout)
    if status == 404 and missing is not None:
        return missing
    if status != 200 or not isinstance(answer, dict):
        hint = ": it has no delete-by-query" if path.endswith("_by_query") and status in (400, 404, 405) else ""
        raise CommandError(f"{engine.urls[0]} answered {status} to {method} {path}{hint}: {str(answer)[:200]}")
    return answer
