"""The engine as a command asks it: what fails is one line of ours."""

from __future__ import annotations

import logging

from request_logger.settings import Settings
from request_logger.store.client import SearchEngine


def quiet_engine(settings: Settings) -> SearchEngine:
    """Give the engine of the settings, without its clients' tracebacks in the log."""
    # They log a request that failed with a traceback; one line of ours says the same.
    for name in ("opensearch", "elastic_transport", "elasticsearch"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return SearchEngine(settings)
