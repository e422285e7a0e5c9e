"""Shares the evidence of deployments between all processes, from a thread of its own.

No event waits for it: while the search engine doesn't answer, or refuses the index, each process decides by what it
knows.
"""

from __future__ import annotations

import logging

from request_logger.common.polling import Pause, PollingThread
from request_logger.scoring.known_evidence import KnownEvidence
from request_logger.scoring.stored_evidence import INDEX, EvidenceError, StoredEvidence
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.ports import EngineReader

log = logging.getLogger(__name__)

EXPIRY_SECONDS = 10.0
"""How old the evidence of a deployment in use gets before it is read again: one small request per process then."""
# The pause after a refusal: most of them last (a permission).
_RETRY_SECONDS = 60.0
# The pause between two requests: the first pairs of many deployments arrive together.
_LEAST_SECONDS = 0.2
_MOST_TOLD = 10
_ALONE = f"SCORER=auto: the index {INDEX} can't be used, so each process decides by the pairs that it has scored"


class EvidenceKeeper:
    """Reads and writes evidence in a thread from `start` to `close`: first of all deployments, then of those in use."""

    def __init__(self, engine: EngineReader) -> None:
        self._stored = StoredEvidence(engine)
        self._thread = PollingThread("evidence", self._look, self._failed, is_last_at_end=True)
        self.known = KnownEvidence(noticed=self._thread.wake)
        self._step = self._load
        self._told: set[str] = set()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Store what is new, and stop the thread, in at most ``timeout`` seconds."""
        self._thread.close(timeout)

    def _look(self) -> Pause:
        step, self._step = self._step, self._share
        try:
            step()
        except StoreUnavailableError:
            # The writer tells that the search engine doesn't answer.
            pass
        except EvidenceError as error:
            if self._is_new(str(error)):
                log.warning("%s: %s", _ALONE, error)
            return Pause(0.0, _RETRY_SECONDS)
        return Pause(EXPIRY_SECONDS, _LEAST_SECONDS)

    def _failed(self, error: Exception) -> Pause:
        """Log a defect, each kind once."""
        if self._is_new(type(error).__name__):
            log.error("%s: %s", _ALONE, type(error).__name__, exc_info=error)
        return Pause(0.0, _RETRY_SECONDS)

    def _load(self) -> None:
        for origin, evidence in self._stored.all().items():
            self.known.join(origin, evidence)

    def _share(self) -> None:
        """Join the evidence of the deployments in use with what is stored, and store what is new."""
        used = self.known.take_used()
        if not used:
            return
        try:
            merged = self._stored.merge({origin: self.known.of(origin) for origin in used})
        except BaseException:
            self.known.use_again(used)
            raise
        for origin, evidence in merged.items():
            self.known.join(origin, evidence)

    def _is_new(self, failure: str) -> bool:
        is_new = failure not in self._told and len(self._told) < _MOST_TOLD
        if is_new:
            self._told.add(failure)
        return is_new
