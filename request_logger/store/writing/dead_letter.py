"""What the dead-letter index holds."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from request_logger.common.json import dumps
from request_logger.store.changes import Change, Document
from request_logger.store.writing.bulk import Request

# As much of an engine's reason as a person reads; it is a keyword in the mapping.
_REASON_CHARACTERS = 1000


def letter_id(index: str, id: str, document: Document) -> str:
    """Return the id of a letter: the same for the same content, so that a repetition makes no second letter.

    Without metrics, which say when they were made.
    """
    content = {name: value for name, value in document.items() if name != "metrics"}
    return hashlib.sha256(dumps([index, id, content], sort_keys=True)).hexdigest()


def letter_source(index: str, id: str, reason: str, document: Document) -> Document:
    """Return a letter: where the document belongs, why it isn't there, and all of it as JSON text."""
    return {
        "@timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "index": index,
        "id": id,
        "reason": reason[:_REASON_CHARACTERS],
        "document": dumps(document).decode(),
    }


def letter_request(letters: str, index: str, id: str, reason: str, document: Document) -> Request:
    """Return the request that stores a letter in the index ``letters``."""
    source = dumps(letter_source(index, id, reason, document))
    return Request.store(letters, letter_id(index, id, document), source)


def letter_change(letters: str, index: str, id: str, reason: str, document: Document) -> Change:
    """Return the change that stores a letter: for plans that can't go on with their documents."""
    source = letter_source(index, id, reason, document)
    return Change(letters, letter_id(index, id, document), lambda stored: stored or source)
