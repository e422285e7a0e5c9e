"""Sampling by SAMPLE_RATE: the same predictions are kept on every replica and for every part."""

from __future__ import annotations

import hashlib

from request_logger.documents.event import Event, IgnoredEventError, join_key_of

SAMPLED = "sampled"
# The number of values of the first 8 bytes of a digest.
_HASHES = 2**64


def is_kept(request_id: str, rate: float) -> bool:
    """Return whether a prediction is in the sample; ``rate`` is the share that is kept (0 to 1).

    A hash of its request id decides, so that request, response and feedback are kept or dropped together, and a
    prediction kept at one rate is kept at every higher one.
    """
    digest = hashlib.sha256(request_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < rate * _HASHES


def sample(event: Event, rate: float) -> Event:
    """Return the event. Raises IgnoredEventError (reason SAMPLED) for one of a prediction outside the sample.

    Reference data and drift messages belong to no prediction and are always kept. So is feedback with a join key: the
    id of its prediction isn't known here.
    """
    if rate < 1 and event.kind == "inference" and join_key_of(event) is None and not is_kept(event.request_id, rate):
        raise IgnoredEventError(SAMPLED, "not in the sample")
    return event
