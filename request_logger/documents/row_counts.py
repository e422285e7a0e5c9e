"""Says how many rows a prediction has: from what is stored of it, or from its feedback. Pure code."""

from __future__ import annotations

from typing import Any

from request_logger.common.json import all_parsed
from request_logger.documents.document import Document, part_in
from request_logger.payloads import UndecodableError, decode_message
from request_logger.payloads.flat import Flat, read_flat


def batch_rows(first: Document) -> int:
    """Return the number of rows of a batch from its first row; for documents without `rows`, from the payload."""
    rows = 1
    for name in ("request", "response"):
        part = part_in(first, name)
        stored, payload = part.get("rows"), part.get("payload")
        if isinstance(stored, int):
            rows = max(rows, stored)
        elif payload is not None:
            rows = max(rows, _rows_in(all_parsed(payload)))
    return rows


def rows_of_feedback(content: Document, flat: Flat = Flat.BATCH) -> int:
    """Return how many rows a feedback seems to be for; 1 if nothing indicates it. ``flat``: how its arrays are read."""
    reward = content.get("reward")
    rows = max(len(reward), 1) if isinstance(reward, list) else 1
    if content.get("truth") is not None:
        rows = max(rows, _rows_in(content["truth"], flat))
    return max(rows, embedded_rows(content, flat))


def embedded_rows(content: Document, flat: Flat = Flat.BATCH) -> int:
    """Return the number of rows of the prediction according to the feedback: its own response, or its ``instance``."""
    response = content.get("response")
    if response is not None:
        return _rows_in(response, flat)
    instance = content.get("instance") if content.get("dataType", "json") != "json" else None
    return len(instance) if isinstance(instance, list) else 0


def _rows_in(message: Any, flat: Flat = Flat.BATCH) -> int:
    try:
        return len(read_flat(decode_message(message), flat).items)
    except UndecodableError:
        return 0
