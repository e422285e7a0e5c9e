"""What the dead-letter index holds."""

from __future__ import annotations

from datetime import UTC, datetime

from request_logger.serialize import dumps
from request_logger.store.change import Document


def dead_letter(index: str, id: str, document: Document, reason: str) -> Document:
    """Give the document of the dead-letter index: where it belongs, why it isn't there, and all of it as JSON text."""
    return {
        "@timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "index": index,
        "id": id,
        "reason": reason[:1000],
        "document": dumps(document).decode(),
    }
