"""The fold of a document: one of FOLDS groups, for intervals from the spread between groups of documents.

Documents that belong together (the rows of a batch, the predictions for one customer) have the same fold, so that what
differs between folds is independent. Pure code.
"""

from __future__ import annotations

import hashlib
from typing import Any

from request_logger.documents.document import PARTS, Document, part_in

FOLD = "fold"
"""The top-level field."""
# With 20 groups Student's t (19 degrees of freedom) is 7 % wider than the normal distribution; more groups would gain
# less than that, and cost as many more buckets in a search.
FOLDS = 20
# Drift messages belong to no prediction.
_OF_PREDICTIONS = frozenset(PARTS) - {"drift"}


def with_fold(document: Document, key: str = "") -> Document:
    """Return the document with its fold, or itself if it has the right one or belongs to no prediction.

    ``key`` is the path of the field that documents of one group share, such as ``request.elements.customer``. The fold
    of a document without it, and with an empty ``key``, is that of its request id.
    """
    if _OF_PREDICTIONS.isdisjoint(document):
        return document
    shared = _text_at(document, key) if key else None
    if shared is None:
        shared = document.get("RequestId")
    if not isinstance(shared, str):
        return document
    fold = fold_of(shared)
    return document if document.get(FOLD) == fold else {**document, FOLD: fold}


def fold_of(text: str) -> int:
    """Return the fold (0 to FOLDS - 1) of a text: the same in every process and release.

    SAMPLE_RATE selects by the first 8 bytes of the same digest; the next 8 are independent of them.
    """
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[8:16], "big") % FOLDS


def _text_at(document: Document, path: str) -> str | None:
    """Return the scalar at a path as text, None if there is none; the names of elements may have dots."""
    first, _, rest = path.partition(".")
    value: Any = part_in(document, first) if first in PARTS and rest else document.get(first)
    while rest and isinstance(value, dict):
        if rest in value:
            value, rest = value[rest], ""
        else:
            name, _, rest = rest.partition(".")
            value = value.get(name)
    if rest or isinstance(value, (dict, list)) or value is None:
        return None
    return str(value)
