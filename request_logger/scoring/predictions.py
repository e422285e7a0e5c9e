"""Derives a document's `prediction`: what its response says by itself, whether or not there is feedback.

It is a function of the stored response, so that documents without a truth can be counted by label, probability and bin.
Where `auto` chooses the scorer of a pair by its truth, the two may read a response differently: then there is none.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

from request_logger.common.guard import reraise_if_killed
from request_logger.common.mapped_fields import PARTS, PREDICTION
from request_logger.documents.document import Document
from request_logger.scoring import user_scorers
from request_logger.scoring.stored_responses import Stored, origin_of, stored_row
from scorers.base import Row

log = logging.getLogger(__name__)


class ResponseChooser(Protocol):
    """Chooses the scorer that reads a response by itself."""

    def choose_for_response(
        self, namespace: str, deployment: str, predictor: str, model: str, prediction: Row
    ) -> Any | None:
        """Return the scorer, None if the response alone doesn't say how it is read."""
        ...


def with_prediction(document: Document, chooser: ResponseChooser, response: Stored | None = None) -> Document:
    """Return a document with what its response says by itself, or itself if it has the right one.

    ``response`` is what `stored_row` returns for it, where that is known. Never raises, whatever a scorer does and
    whichever program wrote the document.
    """
    fields = _fields(document, chooser, response) if "response" in document else {}
    kept = document.get(PREDICTION, {})
    # Another program's field of this name stays.
    if kept == fields or not isinstance(kept, dict) or not kept.keys() <= PARTS[PREDICTION]:
        return document
    if fields:
        return {**document, PREDICTION: fields}
    return {name: value for name, value in document.items() if name != PREDICTION}


def _fields(document: Document, chooser: ResponseChooser, response: Stored | None) -> dict[str, Any]:
    try:
        row, _ = stored_row(document) if response is None else response
        if row is None:
            return {}
        scorer = _chosen(chooser, document, row)
        fields = {} if scorer is None else user_scorers.read(scorer, row)
    except BaseException as error:
        # A document from another program, or a defect here, must not end the thread that stores events.
        reraise_if_killed(error)
        log.exception("a response could not be read by itself")
        return {}
    return {} if _contradicts(fields.get("label"), document.get("metrics")) else fields


def _chosen(chooser: ResponseChooser, document: Document, row: Row) -> Any | None:
    try:
        return chooser.choose_for_response(*origin_of(document), row)
    except BaseException as error:
        # The metrics of a pair name the error.
        reraise_if_killed(error)
        return None


def _contradicts(label: Any, metrics: Any) -> bool:
    said = metrics.get("predicted_label") if isinstance(metrics, dict) else None
    return label is not None and said is not None and said != label
