"""Fetches and caches schemas, so that a slow or unavailable metadata service doesn't delay events.

A background thread looks up the schema of a deployment; the cached one is used while a newer one is fetched. An event
waits only if nothing is cached for its deployment, for a limited time, once per deployment, and not at all while the
service is known to be slow or down.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from request_logger.metadata.file import MetadataFile
from request_logger.metadata.oidc import MetadataUnavailableError
from request_logger.metadata.schema import Schema, parse_schema
from request_logger.metadata.service import Deployment

log = logging.getLogger(__name__)

CAPACITY = 1024
"""Deployments in the cache, of which the least recently used is dropped first."""
RETRY_SECONDS = 5.0
"""The pause after a failed fetch."""
# A schema that wasn't used for this many TTLs is too old: the next event waits for a new one.
_TOO_OLD_TTLS = 2.0

Lookup = Callable[[Deployment], Mapping[str, Any] | None]


class Answer(NamedTuple):
    """A deployment's schema, None if it has none; ``is_known`` is False until the service has answered."""

    schema: Schema | None
    is_known: bool


class _Entry:
    """The cache entry of a deployment. Times are in seconds of the monotonic clock."""

    __slots__ = ("answered_at", "deadline", "done", "due", "pending", "queued_at", "schema")

    def __init__(self, deadline: float) -> None:
        self.schema: Schema | None = None
        self.answered_at: float | None = None
        self.queued_at = 0.0
        self.due = 0.0
        self.pending = False
        self.deadline = deadline
        self.done = threading.Event()


class MetadataSource:
    """Returns the schema of each deployment: by the rules of the file, else from the service. Thread-safe.

    ``ttl_seconds`` is how long a schema (or its absence) is used before it is fetched again; ``wait_seconds`` is the
    longest wait of a deployment's first event. ``happened`` is called with the result of each fetch (``fetched``,
    ``none`` for no schema, ``failed``), and with ``late`` if an event stopped waiting. The daemon thread starts at the
    first lookup, and is never stopped.
    """

    def __init__(
        self,
        lookup: Lookup | None = None,
        file: MetadataFile | None = None,
        *,
        ttl_seconds: float = 60.0,
        wait_seconds: float = 0.5,
        happened: Callable[[str], None] | None = None,
        capacity: int = CAPACITY,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._lookup = lookup
        self._file = file
        self._ttl = ttl_seconds
        self._wait = wait_seconds
        self._happened = happened or (lambda what: None)
        self._capacity = capacity
        self._retry = retry_seconds
        self._entries: OrderedDict[Deployment, _Entry] = OrderedDict()
        self._queue: deque[tuple[Deployment, _Entry]] = deque()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        # False while the service is slow or down: then no event waits for it.
        self._is_fast = True
        self._last_warning = ""

    @property
    def enabled(self) -> bool:
        """Whether there is a file or a service."""
        return self._lookup is not None or self._file is not None

    def schema_for(self, engine: str, namespace: str | None, name: str | None, endpoint: str | None) -> Schema | None:
        """Return a deployment's schema; None if it has none, or none is available now. Never raises.

        The service isn't asked for a deployment without a name or a namespace.
        """
        return self.answer_for(engine, namespace, name, endpoint).schema

    def answer_for(self, engine: str, namespace: str | None, name: str | None, endpoint: str | None) -> Answer:
        """Return a deployment's schema as `schema_for` does, and whether the service has confirmed it."""
        if self._file is not None:
            schema = self._file.schema_for(namespace or "", name or "", endpoint or "")
            if schema is not None:
                return Answer(schema, True)
        if self._lookup is None or not namespace or not name:
            return Answer(None, True)
        return self._cached(Deployment(engine, namespace, name, endpoint or ""))

    def raw_schema(self, deployment: Deployment) -> Mapping[str, Any] | None:
        """Look up a schema now, bypassing the cache, and return it unparsed; for diagnosis.

        Raises MetadataUnavailableError.
        """
        if self._file is not None:
            schema = self._file.schema_for(deployment.namespace, deployment.name, deployment.endpoint)
            if schema is not None:
                return schema.raw
        return self._lookup(deployment) if self._lookup else None

    def _cached(self, deployment: Deployment) -> Answer:
        now = time.monotonic()
        with self._lock:
            entry = self._entries.get(deployment)
            if entry is None:
                entry = self._entries[deployment] = _Entry(now + self._wait)
                if len(self._entries) > self._capacity:
                    self._entries.popitem(last=False)
            else:
                self._entries.move_to_end(deployment)
            if now >= entry.due and not entry.pending:
                self._enqueue(deployment, entry, now)
            if entry.done.is_set() or not self._is_fast:
                return Answer(entry.schema, entry.answered_at is not None)
            left = entry.deadline - now
        if left > 0 and not entry.done.wait(left):
            self._is_fast = False
            self._happened("late")
        with self._lock:
            return Answer(entry.schema, entry.answered_at is not None)

    def _enqueue(self, deployment: Deployment, entry: _Entry, now: float) -> None:
        """Queue a fetch; the lock is held."""
        if len(self._queue) >= self._capacity:
            return
        entry.pending = True
        entry.queued_at = now
        if entry.answered_at is not None and now - entry.answered_at > _TOO_OLD_TTLS * self._ttl:
            entry.deadline = now + self._wait
            entry.done.clear()
        self._queue.append((deployment, entry))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="metadata", daemon=True)
            self._thread.start()
        self._work.notify()

    def _run(self) -> None:
        while True:
            with self._work:
                while not self._queue:
                    self._work.wait()
                deployment, entry = self._queue.popleft()
            if not self._fetch(deployment, entry):
                # The pause is for all deployments: a service that is down isn't asked for each of them.
                time.sleep(self._retry)

    def _fetch(self, deployment: Deployment, entry: _Entry) -> bool:
        assert self._lookup is not None
        try:
            raw = self._lookup(deployment)
            schema = None if raw is None else _parsed(deployment, raw, entry.schema)
        except MetadataUnavailableError as error:
            return self._failed(entry, str(error))
        except Exception as error:
            log.exception("the metadata of %s could not be looked up", "/".join(deployment[1:]))
            return self._failed(entry, f"{type(error).__name__}")
        now = time.monotonic()
        with self._lock:
            entry.schema, entry.answered_at, entry.due = schema, now, now + self._ttl
            entry.pending = False
            # Measured from queueing: a fast service with a long queue of deployments is slow, too.
            self._is_fast = now - entry.queued_at <= self._wait
        entry.done.set()
        self._happened("none" if schema is None else "fetched")
        if self._last_warning:
            log.info("the metadata service answers again")
            self._last_warning = ""
        return True

    def _failed(self, entry: _Entry, reason: str) -> bool:
        with self._lock:
            entry.due = time.monotonic() + self._retry
            entry.pending = False
            self._is_fast = False
        # The outdated schema stays in use, and waiting events continue.
        entry.done.set()
        self._happened("failed")
        if reason != self._last_warning:
            log.warning("no metadata, events are stored without its names: %s", reason)
            self._last_warning = reason
        return False


def _parsed(deployment: Deployment, raw: Mapping[str, Any], known: Schema | None) -> Schema:
    if known is not None and known.raw == raw:
        return known
    schema, problems = parse_schema(raw)
    if problems:
        log.warning("metadata of %s: %s", "/".join(deployment[1:]), "; ".join(problems[:5]))
    return schema
