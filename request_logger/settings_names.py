"""Finds environment variables that look like a misspelled setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import SequenceMatcher

from request_logger.settings import Settings

# ELASTICSEARCH_HOSTT, SCORERS, LOGLEVEL and ELASTICSEARCH_PASSWORD have .9 and more; the variables that Kubernetes sets
# for a Service named elasticsearch, such as ELASTICSEARCH_SERVICE_PORT, have .82 and less.
_ALIKE = 0.86
# Shorter names, such as PORTS, are too often something else.
_LEAST_LENGTH = 6


def misspelled(environ: Iterable[str] | Mapping[str, str]) -> list[str]:
    """Return a line per variable that is no setting but looks like one; its value is not quoted."""
    known = {spec.name.upper() for spec in fields(Settings)}
    found = []
    for name in sorted(environ):
        if name in known or len(name) < _LEAST_LENGTH or not name.isupper():
            continue
        near, alike = max(
            ((setting, SequenceMatcher(None, name, setting).ratio()) for setting in known), key=lambda pair: pair[1]
        )
        if alike >= _ALIKE:
            found.append(f"{name} is not a setting: did you mean {near}?")
    return found
