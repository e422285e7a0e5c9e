"""Builds dead letters: the documents of the dead-letter index, which hold documents that can't be indexed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from request_logger.common.json import all_parsed, dumps
from request_logger.store.changes import Change, Document
from request_logger.store.writing.bulk import BulkItem

# Enough to read the cause. The field is a keyword, which can have at most 32,766 bytes.
_REASON_CHARACTERS = 1000


def dead_letter_id(index: str, id: str, document: Document) -> str:
    """Return the id of a dead letter: a hash of its content, so that a retry stores no second one.

    The document's ``metrics`` are left out, since they contain the time at which they were computed.
    """
    # The same number may be written in several ways.
    content = {name: all_parsed(value) for name, value in document.items() if name != "metrics"}
    return hashlib.sha256(dumps([index, id, content], sort_keys=True)).hexdigest()


def dead_letter_source(index: str, id: str, reason: str, document: Document) -> Document:
    """Return a dead letter: the index and id of the document, the reason, and the whole document as JSON text."""
    return {
        "@timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "index": index,
        "id": id,
        "reason": reason[:_REASON_CHARACTERS],
        "document": dumps(document).decode(),
    }


def dead_letter_request(dead_letter_index: str, index: str, id: str, reason: str, document: Document) -> BulkItem:
    """Return the request that stores a dead letter in ``dead_letter_index``."""
    source = dumps(dead_letter_source(index, id, reason, document))
    return BulkItem.store(dead_letter_index, dead_letter_id(index, id, document), source)


def dead_letter_change(dead_letter_index: str, index: str, id: str, reason: str, document: Document) -> Change:
    """Return the change that stores a dead letter: for plans that can't process their documents."""
    source = dead_letter_source(index, id, reason, document)
    return Change(dead_letter_index, dead_letter_id(index, id, document), lambda stored: stored or source)
