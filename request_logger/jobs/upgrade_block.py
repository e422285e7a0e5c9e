"""Blocks the writes to an index while its last changes are copied: see `store.indices.upgrade_lock`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from request_logger.errors import CommandError
from request_logger.store.indices.upgrade_lock import BLOCKED, COPYING, lock_name

# Before 7.9 a block doesn't wait for writes that are under way.
_SETTLE_SECONDS = 2.0
_LOCK = {"settings": {"index.hidden": True, "number_of_shards": 1, "number_of_replicas": 0}}


class WriteBlock:
    """The block of one index, of which ``target`` is the copy.

    ``ask`` sends a request until the search engine answers, ``note`` writes the state into the copy's mapping.
    """

    def __init__(self, ask: Callable[..., Any], note: Callable[[str], None], name: str, target: str) -> None:
        self._ask = ask
        self._note = note
        self._settings = f"/{quote(name, safe='')}/_settings"
        self._block = f"/{quote(name, safe='')}/_block/write"
        self._lock = f"/{quote(lock_name(target), safe='')}"

    def set(self) -> None:
        """Block writes; the lock and the note come first, so that no block lacks them."""
        # A run that was killed may have left one.
        self._ask("DELETE", self._lock, missing={})
        try:
            self._ask("PUT", self._lock, _LOCK)
        except CommandError as error:
            # The answer to the first attempt was lost.
            if "already_exists" not in str(error):
                raise
        self._note(BLOCKED)
        # Status 404, an engine without this request, is the same as an answer without shards.
        if not self._ask("PUT", self._block, missing={}).get("shards_acknowledged"):
            self._ask("PUT", self._settings, {"index.blocks.write": True})
            time.sleep(_SETTLE_SECONDS)

    def lift(self) -> None:
        """Let loggers write again. The index may be gone, by an attempt to replace it whose answer was lost."""
        self._ask("PUT", self._settings, {"index.blocks.write": None}, missing={})
        self._note(COPYING)
        self._ask("DELETE", self._lock, missing={})
