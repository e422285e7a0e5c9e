"""Lifts the write block of an index that a killed `setup --upgrade` has left, while events wait for the index."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.indices.upgrade_lock import SendRequest, blocked_index, lift
from request_logger.store.writing.ports import Observer

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""An upgrade blocks an index for a second or so. One that is interrupted although it was only slow tries again."""
# A document in memory is retried at least every two seconds, one in the spool within minutes: a longer pause between
# two refusals is another block.
_FORGET_SECONDS = 600.0


@dataclass(slots=True)
class _Blocked:
    since: float
    last: float
    """When it was last seen."""
    try_at: float


class BlockWatch:
    """An observer of the writer that passes everything on, and lifts blocks. Safe to use from any thread."""

    def __init__(self, inner: Observer, request: SendRequest, clock: Callable[[], float] = time.monotonic) -> None:
        self.waiting = inner.waiting
        self.bulk_sent = inner.bulk_sent
        self._happened = inner.happened
        self._request = request
        self._clock = clock
        self._blocked: dict[str, _Blocked] = {}
        self._lock = threading.Lock()

    def happened(self, what: str, index: str, reason: str) -> None:
        """Pass a notification on; a write that a block refuses is noted. Never waits."""
        self._happened(what, index, reason)
        blocked = blocked_index(reason) if what == "retry" else ""
        if blocked and self._is_due(blocked):
            threading.Thread(target=self._lift, args=(blocked,), name="store-unblock", daemon=True).start()

    def _is_due(self, index: str) -> bool:
        now = self._clock()
        with self._lock:
            self._blocked = {name: each for name, each in self._blocked.items() if now - each.last < _FORGET_SECONDS}
            found = self._blocked.get(index)
            if found is None:
                self._blocked[index] = _Blocked(now, now, now + PATIENCE_SECONDS)
                log.warning("index %s: its write block (index.blocks.write) refuses events; they are retried", index)
                return False
            found.last = now
            if now < found.try_at:
                return False
            found.try_at = now + PATIENCE_SECONDS
            return True

    def _lift(self, index: str) -> None:
        try:
            said = lift(self._request, index)
        except StoreUnavailableError:
            # It is tried again as long as writes are refused.
            return
        if said:
            log.warning("%s", said)
