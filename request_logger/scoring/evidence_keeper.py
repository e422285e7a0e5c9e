"""Shares the evidence of deployments between all processes, from a thread of its own.

No event waits for it: while the search engine doesn't answer, or refuses the index, each process decides by what it
knows.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

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
        self._wake = threading.Event()
        self._closing = threading.Event()
        self.known = KnownEvidence(noticed=self._wake.set)
        self._told: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Store what is new, and stop the thread, in at most ``timeout`` seconds."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        done = self._attempt(self._load)
        while not self._closing.is_set():
            if done:
                self._wake.wait(EXPIRY_SECONDS)
                self._closing.wait(_LEAST_SECONDS)
            else:
                self._closing.wait(_RETRY_SECONDS)
            self._wake.clear()
            done = self._attempt(self._share)

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

    def _attempt(self, step: Callable[[], None]) -> bool:
        """Take a step; return whether it was not refused. Each kind of failure is logged once."""
        try:
            step()
        except StoreUnavailableError:
            # The writer tells that the search engine doesn't answer.
            return True
        except EvidenceError as error:
            if self._is_new(str(error)):
                log.warning("%s: %s", _ALONE, error)
            return False
        except Exception as error:
            # A defect of this program must not end the thread.
            if self._is_new(type(error).__name__):
                log.error("%s: %s", _ALONE, type(error).__name__, exc_info=error)
            return False
        return True

    def _is_new(self, failure: str) -> bool:
        is_new = failure not in self._told and len(self._told) < _MOST_TOLD
        if is_new:
            self._told.add(failure)
        return is_new
