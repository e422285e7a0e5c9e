"""Whether a document that is said to be new mostly is: what decides which of two ways of writing it is cheaper."""

from __future__ import annotations

from request_logger.store.writing.states import Kind

# Of the last fifty or so: above this share the second round trip of those costs more than the first ones save.
_MOST_THERE = 0.1
_WEIGHT = 0.02
_SAYS = {Kind.DONE: 0.0, Kind.FOUND: 1.0, Kind.CONFLICT: 1.0}


class CreatePolicy:
    """Learns from what became of such documents. For one thread."""

    def __init__(self) -> None:
        self._share_there = 0.0

    @property
    def is_likely(self) -> bool:
        """Whether hardly any of the last ones was there."""
        return self._share_there < _MOST_THERE

    def learn(self, kind: Kind) -> None:
        """Note what became of one that was to be created, or created or read."""
        was_there = _SAYS.get(kind)
        if was_there is not None:
            self._share_there += _WEIGHT * (was_there - self._share_there)
