"""Finds environment variables that look like a misspelled setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches

from request_logger.settings import Settings

# ELASTICSEARCH_HOSTT, SCORERS, LOGLEVEL and ELASTICSEARCH_PASSWORD have .9 and more; the variables that Kubernetes sets
# for a Service named elasticsearch, such as ELASTICSEARCH_SERVICE_PORT, have .82 and less.
_ALIKE = 0.86
# Variables of OpenTelemetry's SDK, of which one is a setting, too.
_FOREIGN_PREFIX = "OTEL_"
# Shorter names, such as PORTS, are too often something else.
_LEAST_LENGTH = 6


def misspelled(environ: Iterable[str] | Mapping[str, str]) -> list[str]:
    """Return a line per variable that isn't a setting but looks like one; its value is not quoted."""
    known = {spec.name.upper() for spec in fields(Settings)}
    found = []
    for name in sorted(environ):
        is_ours = not name.startswith(_FOREIGN_PREFIX)
        if name in known or len(name) < _LEAST_LENGTH or not (name.isupper() and is_ours):
            continue
        near = get_close_matches(name, known, n=1, cutoff=_ALIKE)
        if near:
            found.append(f"{name} is not a setting: did you mean {near[0]}?")
    return found
