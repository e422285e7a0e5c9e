"""Removes the payloads of a document, and leaves its metrics, its prediction, its ids and its times. Pure code."""

from __future__ import annotations

from typing import Any

from request_logger.documents.batches import has_own_messages
from request_logger.documents.document import PARTS, Document, expand
from request_logger.documents.kept_fields import REMOVED, kept_of


def without_payloads(document: Document, at: str, *, of_batch: bool = False) -> Document:
    """Return a document without what the bodies of its events said; ``document`` itself if that was removed before.

    ``at`` is the time of the removal (ISO 8601). With ``of_batch`` the truths of a batch's other rows are removed, too,
    for a row of the batch that is erased.
    """
    if REMOVED in document and not (of_batch and _has_truth_of_batch(document)):
        return document
    removed = {**document, **_kept_parts(document, of_batch=of_batch), REMOVED: document.get(REMOVED, at)}
    nodes = document.get("nodes")
    if isinstance(nodes, dict):
        removed["nodes"] = {
            name: {**parts, **_kept_parts(parts, of_batch=of_batch)} if isinstance(parts, dict) else parts
            for name, parts in nodes.items()
        }
    return removed


def _kept_parts(holder: Document, *, of_batch: bool) -> Document:
    """Return what is kept of the parts in an object; content that isn't a part's is not kept."""
    kept: Document = {}
    for name in PARTS:
        if name in holder:
            kept[name] = kept_of(name, expand(holder[name]))
            if name == "feedback" and of_batch and _is_of_batch(kept[name]):
                kept[name] = {field: value for field, value in kept[name].items() if field != "truth"}
    return kept


def _is_of_batch(feedback: Any) -> bool:
    """Return whether a feedback has the truths of several rows."""
    feedback = expand(feedback)
    rows = feedback.get("items")
    return "truth" in feedback and type(rows) is int and rows > 1 and not has_own_messages(feedback)


def _has_truth_of_batch(document: Document) -> bool:
    nodes = document.get("nodes")
    holders = [document, *(nodes.values() if isinstance(nodes, dict) else ())]
    return any(isinstance(holder, dict) and _is_of_batch(holder.get("feedback")) for holder in holders)
