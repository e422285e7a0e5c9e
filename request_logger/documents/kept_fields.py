"""What is kept of a part whose payload was removed: who sent it and when, its type, and what it says of the truth.

A list of what stays, not of what goes: a body may have any other field, and each may hold what had to be removed.
"""

from __future__ import annotations

from typing import Any

from request_logger.common.mapped_fields import COMPONENT, STATUS

Content = dict[str, Any]

REMOVED = "payload_removed"
"""The document's field with the time (ISO 8601) at which its payloads were removed: what arrives later has none."""

_OF_DELIVERY = ("ce-time", "ce-source", "received-time", "trace-id", "undecodable", "payload_dropped")
_OF_PREDICTION = frozenset(
    (
        *_OF_DELIVERY,
        *(COMPONENT, "ce-recordedtime", STATUS, "metadata", "annotations", "metadata_unindexed"),
        *("id", "model_name", "model_version", "signature_name", "dataType", "names", "rows", "meta"),
    )
)
_OF_FEEDBACK = frozenset(
    (
        *_OF_DELIVERY,
        *("reward", "truth", "metrics", "item", "items", "body_item", "dataType", "meta"),
        *("evaluations", "evaluations_left_out", "evaluations_only"),
    )
)
_KEPT = {"request": _OF_PREDICTION, "response": _OF_PREDICTION, "feedback": _OF_FEEDBACK}


def kept_of(part: str, content: Content) -> Content:
    """Return what is kept of the content of a part: itself if it has nothing else, or the part is kept whole."""
    kept = _KEPT.get(part)
    if kept is None or content.keys() <= kept:
        return content
    return {name: value for name, value in content.items() if name in kept}


def says_the_same(one: Content, other: Content) -> bool:
    """Return whether two feedbacks have the same truth and the same reward."""
    return all(one.get(name) == other.get(name) for name in ("truth", "reward"))
