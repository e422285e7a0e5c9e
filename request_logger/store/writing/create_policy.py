"""Chooses the cheaper way to write a document that is probably new: create it, or create or read it."""

from __future__ import annotations

from request_logger.store.writing.states import Kind

# Above this share of existing documents, their second round trip costs more than a plain create saves for the others.
_MAX_SHARE_EXISTING = 0.1
# Weight of the latest outcome in the moving average, which so covers about the last fifty (1 / 0.02).
_WEIGHT = 0.02
_EXISTED = {Kind.DONE: 0.0, Kind.FOUND: 1.0, Kind.CONFLICT: 1.0}


class CreatePolicy:
    """Estimates how many documents that are probably new exist already, from the outcomes of the latest ones.

    Not thread-safe: the caller holds the writer's lock.
    """

    def __init__(self) -> None:
        self._share_existing = 0.0

    @property
    def is_likely(self) -> bool:
        """Whether hardly any of the latest documents existed, so that a plain create is cheaper."""
        return self._share_existing < _MAX_SHARE_EXISTING

    def learn(self, kind: Kind) -> None:
        """Update the estimate with the outcome of a create, or of a create or read."""
        existed = _EXISTED.get(kind)
        if existed is not None:
            self._share_existing += _WEIGHT * (existed - self._share_existing)
