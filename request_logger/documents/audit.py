"""The audit: a share of the predictions, chosen by a hash of the request id, for which a truth is always wanted.

Whether a prediction is in the audit is decided when it is stored with AUDIT_RATE for the first time, and never again:
otherwise, after a change of the rate, feedback would bring predictions into the audit, or out of it. Pure code.
"""

from __future__ import annotations

import hashlib

from request_logger.documents.document import PARTS, Document

AUDIT = "audit"
"""The top-level field: true or false; absent where AUDIT_RATE was 0."""
# Drift messages belong to no prediction.
_OF_PREDICTIONS = tuple(name for name in PARTS if name != "drift")
_HASHES = 2**64


def with_audit(document: Document, rate: float) -> Document:
    """Return the document with its place in or outside of the audit, or itself if that is known or ``rate`` is 0."""
    if rate <= 0 or isinstance(document.get(AUDIT), bool) or not any(name in document for name in _OF_PREDICTIONS):
        return document
    request_id = document.get("RequestId")
    return {**document, AUDIT: is_audited(request_id, rate)} if isinstance(request_id, str) else document


def is_audited(request_id: str, rate: float) -> bool:
    """Return whether a prediction is in the audit: the same in every process; a higher rate only adds predictions.

    SAMPLE_RATE and the folds use the first 16 bytes of the same digest; the next 8 are independent of them.
    """
    digest = hashlib.sha256(request_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[16:24], "big") < rate * _HASHES
