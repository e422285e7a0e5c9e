"""The structured fields of log lines about an event."""

from __future__ import annotations

from typing import Any

from request_logger.documents.event import Event


def log_fields(event: Event) -> dict[str, Any]:
    """Return the fields of a log line about an event, for ``extra=``; never its body."""
    return {
        "trace_id": event.trace_id,
        "request_id": event.request_id,
        "part": event.part,
        "deployment": event.header.get("Ce-Inferenceservicename"),
        "namespace": event.header.get("Ce-Namespace"),
        "size": event.body.size,
    }
