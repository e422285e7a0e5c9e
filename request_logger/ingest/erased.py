"""Refuses events of erased predictions: a late feedback or a duplicate must not bring back what was erased.

`request-logger erase` stores the hash of each erased id. A thread reads them, and asks now and then whether there are
others, so that no event costs a request. Nothing is compared while no id is erased.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from request_logger.common.erasures import BLOCK, ERASURES_INDEX, MOST_BLOCKED, erased_digest
from request_logger.common.join_keys import JoinKey, key_text
from request_logger.common.names import row_named
from request_logger.common.polling import Pause, PollingThread
from request_logger.common.times import time_key
from request_logger.documents.event import Event, IgnoredEventError, join_key_of
from request_logger.documents.key_document import key_id
from request_logger.ingest.sampling import SAMPLED
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.errors import reason_of
from request_logger.store.ports import EngineReader

log = logging.getLogger(__name__)

ERASED = "erased"
"""The reason of IgnoredEventError, and the outcome of such events."""
_TOLD = frozenset({SAMPLED, ERASED})
# The most hits of one answer that every search engine gives.
_PAGE = 10_000
# Until the hashes are known for the first time.
_RETRY_SECONDS = 1.0
# All are read again, so that those that another run prolonged are known: it doesn't change their number.
_READ_AGAIN_SECONDS = 3600.0
_NANOS = 10**9


def outcome_of(error: IgnoredEventError) -> str:
    """Return the outcome under which an ignored event is counted."""
    return error.reason if error.reason in _TOLD else "ignored"


class ErasedIds:
    """The ids whose events are refused. Thread-safe: the thread replaces the whole table."""

    def __init__(self, keys: Sequence[JoinKey] = ()) -> None:
        self._keys = tuple(keys)
        self._until: dict[str, float] = {}

    def replace(self, until: dict[str, float]) -> None:
        """Set the hashes of all erased ids, with the time (s since 1970) until which each is refused."""
        self._until = until

    def check(self, event: Event) -> Event:
        """Return the event. Raises IgnoredEventError for one of an erased prediction."""
        if self._until and self.has(event):
            raise IgnoredEventError(ERASED, "of an erased prediction")
        return event

    def has(self, event: Event) -> bool:
        """Return whether an event is of an erased prediction."""
        if not self._until:
            return False
        return self.has_request_id(event.request_id) or any(map(self.has_id, self._keys_of(event)))

    def has_request_id(self, id: str) -> bool:
        """Return whether the prediction with a request id is erased, or the batch of which it names a row."""
        row = row_named(id)
        return self.has_id(id) or (row is not None and self.has_id(row[0]))

    def has_id(self, id: str) -> bool:
        """Return whether an id is erased."""
        return self._until.get(erased_digest(id), 0.0) > time.time()

    def _keys_of(self, event: Event) -> list[str]:
        """Return the ids of the documents of the join keys that a feedback's id may be a value of."""
        path, text = join_key_of(event), key_text(event.request_id)
        if event.part != "feedback" or text is None:
            return []
        paths = [key.path for key in self._keys] if path is None else [path]
        return [key_id(event.index, each, text) for each in paths]


class _RefusedError(Exception):
    """The search engine refuses the request, as it may until a privilege is granted; what is known stays."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status)
        self.status = status
        self.reason = reason


class ErasedIdsReader:
    """A thread that keeps `ErasedIds` as the search engine has them."""

    def __init__(
        self, engine: EngineReader, erased: ErasedIds, poll_seconds: float, warn: Callable[[str, str, str], None]
    ) -> None:
        """Start the thread; ``poll_seconds`` is the pause between two looks, 0: there is none."""
        self._engine = engine
        self._erased = erased
        self._poll_seconds = poll_seconds
        self._warn = warn
        self._count = 0
        self._read_at = float("-inf")
        self._is_warned = False
        self._loaded = threading.Event()
        self._thread = PollingThread("erased-ids", self._poll, self._failed)
        if poll_seconds <= 0:
            self._loaded.set()
        else:
            self._thread.start()

    @property
    def is_loaded(self) -> bool:
        """Whether the hashes are known, or can't be: until then nothing is replayed from a spool."""
        return self._loaded.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until the hashes are known, for at most ``seconds``; return whether they are."""
        return self._loaded.wait(seconds)

    def close(self) -> None:
        """Stop the thread."""
        self._thread.close(0.0)

    def _poll(self) -> Pause:
        # What is known stays during an outage of the search engine, which is reported elsewhere.
        with suppress(StoreUnavailableError):
            self.look()
        return Pause(self._poll_seconds if self.is_loaded else min(_RETRY_SECONDS, self._poll_seconds))

    def _failed(self, error: Exception) -> Pause:
        log.error("the erased ids could not be read", exc_info=error)
        self._loaded.set()
        return Pause(self._poll_seconds)

    def look(self) -> None:
        """Read the hashes if their number has changed. Raises StoreUnavailableError."""
        try:
            self._look()
        except _RefusedError as error:
            if not self._is_warned:
                self._is_warned = True
                text = f"the engine answered {error.status}: {error.reason}: events of erased ids are not refused"
                self._warn("erased", ERASURES_INDEX, text)
        # After a refusal, too: waiting would not help, and a spool would never be replayed.
        self._loaded.set()

    def _look(self) -> None:
        query = {"query": {"term": {"kind": BLOCK}}}
        status, answer = self._engine.request("POST", f"/{ERASURES_INDEX}/_count", query)
        if status >= 500 or status == 429:
            raise StoreUnavailableError(f"the engine answered {status} to a count of the erased ids")
        count = answer.get("count") if status == 200 and isinstance(answer, dict) else None
        if status not in (200, 404):
            raise _RefusedError(status, reason_of(answer))
        if status == 404 or count == 0:
            self._erased.replace({})
        elif count != self._count or time.monotonic() - self._read_at >= _READ_AGAIN_SECONDS:
            self._erased.replace(self._read())
            self._read_at = time.monotonic()
        self._count = count if isinstance(count, int) else 0

    def _read(self) -> dict[str, float]:
        """Return the hashes that are not expired, the latest first, and when each expires."""
        found: dict[str, float] = {}
        body: dict[str, Any] = {
            "size": _PAGE,
            "query": {"bool": {"filter": [{"term": {"kind": BLOCK}}, {"range": {"expires_at": {"gt": "now"}}}]}},
            "sort": [{"at": "desc"}, {"digest": "asc"}],
            "_source": ["digest", "expires_at"],
        }
        while len(found) < MOST_BLOCKED:
            status, answer = self._engine.request("POST", f"/{ERASURES_INDEX}/_search", body)
            hits = answer.get("hits", {}).get("hits") if status == 200 and isinstance(answer, dict) else None
            if not isinstance(hits, list):
                if 400 <= status < 500 and status != 429:
                    raise _RefusedError(status, reason_of(answer))
                raise StoreUnavailableError(f"the engine answered {status} to a search for the erased ids")
            for hit in hits:
                expires = time_key(hit["_source"]["expires_at"])
                found[hit["_source"]["digest"]] = float("inf") if expires is None else expires / _NANOS
            if len(hits) < _PAGE:
                return found
            body["search_after"] = hits[-1]["sort"]
        self._warn("erased", ERASURES_INDEX, f"only the latest {MOST_BLOCKED:,} erased ids are refused")
        return found
