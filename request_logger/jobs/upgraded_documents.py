"""Converts documents of earlier versions for an index with the current types. Pure code."""

from __future__ import annotations

from typing import Any

from request_logger.documents.degradation import DERIVED
from request_logger.documents.document import PARTS, Document, expand


def converted(document: Document) -> Document:
    """Return a document with all of its content in fields again: a type that refused some of it is another one now.

    A reward that is true or false becomes a number, as the index has it. ``document`` itself if nothing changes.
    """
    changed: Document = {}
    for name in (*PARTS, *DERIVED):
        part = document.get(name)
        if isinstance(part, dict):
            whole = _whole(part)
            if name == "feedback" and isinstance(whole.get("reward"), bool):
                whole = {**whole, "reward": int(whole["reward"])}
            if whole is not part:
                changed[name] = whole
    return {**document, **changed} if changed else document


def _whole(part: Document) -> Document:
    kept: Any = part.get("unindexed")
    if not isinstance(kept, dict):
        return expand(part)
    # The form of the first versions.
    others = {name: value for name, value in part.items() if name not in ("unindexed", "unindexed_reason")}
    return {**others, **kept}
