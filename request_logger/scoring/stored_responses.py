"""Reads what scoring needs of a document's stored response: its row, why there is none, and whose prediction it is."""

from __future__ import annotations

from typing import Any

from request_logger.common.json import all_parsed
from request_logger.documents.document import Document, part_in
from request_logger.documents.event_metadata import is_failure
from request_logger.documents.kept_fields import REMOVED
from request_logger.scoring.reasons import PairReason
from scorers.base import Row

_TEXTS = frozenset({str})

Stored = tuple[Row | None, PairReason | None]
"""The row of a stored response, and why it has none."""


def origin_of(document: Document) -> tuple[str, str, str, str]:
    """Return namespace, deployment, predictor (endpoint) and model of a document; empty if missing."""
    return (
        _text(document.get("Ce-Namespace")),
        _text(document.get("Ce-Inferenceservicename")),
        _text(document.get("Ce-Endpoint")),
        _text(document.get("Ce-Modelid")),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def stored_row(document: Document) -> Stored:
    """Return the row of the stored response, or why it has none; both None if no response is stored."""
    if document.get("response") is None:
        return None, None
    response = part_in(document, "response")
    if is_failure(response):
        return None, PairReason.REQUEST_FAILED
    if "undecodable" in response:
        return None, PairReason.RESPONSE_UNDECODABLE
    if "instance" in response:
        return Row(all_parsed(response["instance"]), _column_names(response.get("names"))), None
    if REMOVED in document:
        return None, PairReason.PAYLOAD_REMOVED
    if "payload_dropped" in response:
        return None, PairReason.RESPONSE_DROPPED
    return None, PairReason.RESPONSE_WITHOUT_INSTANCE


def _column_names(names: Any) -> tuple[str, ...]:
    return tuple(names) if isinstance(names, list) and _TEXTS.issuperset(map(type, names)) else ()
