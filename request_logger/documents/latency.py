"""Derives how much time passed between the parts of a document. Pure code.

The latency of a language model's call is that from its request to its response, the delay of feedback that from the
prediction to its feedback. No event alone knows them.
"""

from __future__ import annotations

from typing import Any

from request_logger.common.mapped_fields import LATENCY
from request_logger.common.times import time_key
from request_logger.documents.document import Document, part_in
from request_logger.documents.event_metadata import is_failure
from request_logger.documents.parts import RECEIVED

# Elements that only the responses of language models have, of which each has one.
_OF_LANGUAGE_MODELS = frozenset({"finish_reason", "completion_tokens", "total_tokens", "stream"})
_NANOSECONDS = 1e9


def with_latency(document: Document) -> Document:
    """Return a document with the latency of its call in seconds, the ``ce-time`` of its response less its request's.

    Unchanged if it isn't a call of a language model, if one of the two has no usable time, or the order is reversed; if
    several nodes of a graph answered, whose request and response need not belong together; and if it has it already.
    """
    seconds = None if "nodes" in document or "response" not in document else _seconds(document)
    if seconds == document.get(LATENCY):
        return document
    rest = {name: value for name, value in document.items() if name != LATENCY}
    return rest if seconds is None else {**rest, LATENCY: seconds}


def delay_seconds(document: Document) -> float | None:
    """Return the time from a stored prediction (its request, else its response) to its feedback in seconds.

    The times are those of the events, else of their arrival. None if no response is stored, if the request failed, if a
    time is unknown, and if the feedback is the earlier one: it has another clock, or the time of what it reports on.
    """
    if not isinstance(document.get("response"), dict) or not isinstance(document.get("feedback"), dict):
        return None
    if is_failure(part_in(document, "response")):
        return None
    # The time of the request, else of the response, is the document's.
    predicted = time_key(document.get("@timestamp"))
    feedback = part_in(document, "feedback")
    told = _time(feedback)
    if told is None:
        told = time_key(feedback.get(RECEIVED))
    if predicted is None or told is None or told < predicted:
        return None
    # To the millisecond: more digits would cost disk and say nothing.
    return round((told - predicted) / _NANOSECONDS, 3)


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
