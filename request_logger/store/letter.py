"""What the dead-letter index holds."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from request_logger.serialize import dumps
from request_logger.store.bulk import Request
from request_logger.store.change import Document
from request_logger.store.work import Slot


def dead_letter(index: str, slot: Slot, document: Document) -> Request:
    """Give the request that stores a letter in ``index``.

    It says where the document belongs, why it isn't there, and has all of it as JSON text.
    """
    source = {
        "@timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "index": slot.index,
        "id": slot.id,
        "reason": slot.reasons[-1][:1000],
        "document": dumps(document).decode(),
    }
    # By content, too: another part of the same document that is refused later gets a letter of its own.
    # Without metrics, which say when they were made; a letter that is tried again in vain is the same letter.
    content = {name: value for name, value in document.items() if name != "metrics"}
    digest = hashlib.sha256(dumps([slot.index, slot.id, content], sort_keys=True)).hexdigest()
    return Request.store(index, digest, dumps(source))
