"""Derives the latency of a call of a language model from the times of its request and its response. Pure code.

Neither event alone knows it, so it is a field of the document, and not of a part.
"""

from __future__ import annotations

from typing import Any

from request_logger.common.mapped_fields import LATENCY
from request_logger.common.times import time_key
from request_logger.documents.document import Document, part_in

# Elements that only the responses of language models have, of which each has one.
_OF_LANGUAGE_MODELS = frozenset({"finish_reason", "completion_tokens", "total_tokens", "stream"})
_NANOSECONDS = 1e9


def with_latency(document: Document) -> Document:
    """Return a document with the latency of its call in seconds, the ``ce-time`` of its response less its request's.

    Unchanged if it is no call of a language model, if one of the two has no usable time, or the order is reversed; if
    several nodes of a graph answered, whose request and response need not belong together; and if it has it already.
    """
    seconds = None if "nodes" in document else _seconds(document)
    if seconds == document.get(LATENCY):
        return document
    rest = {name: value for name, value in document.items() if name != LATENCY}
    return rest if seconds is None else {**rest, LATENCY: seconds}


def _seconds(document: Document) -> float | None:
    if not isinstance(document.get("response"), dict) or not isinstance(document.get("request"), dict):
        return None
    response = part_in(document, "response")
    elements = response.get("elements")
    if not isinstance(elements, dict) or _OF_LANGUAGE_MODELS.isdisjoint(elements):
        return None
    started, ended = _time(part_in(document, "request")), _time(response)
    return None if started is None or ended is None or ended < started else (ended - started) / _NANOSECONDS


def _time(part: dict[str, Any]) -> int | None:
    return time_key(part.get("ce-time"))
