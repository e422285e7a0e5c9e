"""Where schemas come from, and how they are kept: no event waits for a metadata service that is down or slow.

A deployment's schema is looked up by one background thread and kept; it is used while a newer one is fetched. Only
an event that finds nothing kept waits for it, and no longer than a bound: not once for each event, but once for each
deployment, and not at all while the service is known to be slow or down.
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
RETRY_SECONDS = 5.0
# What was not asked for during so many TTLs is waited for again, rather than used as old as it is.
_TOO_OLD_TTLS = 2.0

Lookup = Callable[[Deployment], Mapping[str, Any] | None]


class Answer(NamedTuple):
    """A deployment's schema (None: it has none), and whether that is known: once the service has answered."""

    schema: Schema | None
    is_known: bool


class _Entry:
    """What is kept of one deployment. Times are those of the clock, in seconds."""

    __slots__ = ("answered_at", "asked_at", "deadline", "done", "due", "pending", "schema")

    def __init__(self, deadline: float) -> None:
        self.schema: Schema | None = None
        self.answered_at: float | None = None
        self.asked_at = 0.0
        self.due = 0.0
        self.pending = False
        self.deadline = deadline
        self.done = threading.Event()


class MetadataSource:
    """Gives each deployment its schema: by rule of the file, else as the service says. Thread-safe.

    ``ttl_seconds`` is how long a schema, or that there is none, is used before it is fetched again; ``wait_seconds``
    how long the first event of a deployment waits at most. ``happened`` is told what came of each fetch: fetched,
    none (no schema), failed; and late, where an event went on without waiting further. The thread starts with the
    first lookup and needs no stopping: it dies with the process.
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
        # False while the service is slow or down: then nobody waits for it.
        self._prompt = True
        self._said = ""

    @property
    def enabled(self) -> bool:
        """Whether there is anywhere to look."""
        return self._lookup is not None or self._file is not None

    def schema_for(self, engine: str, namespace: str | None, name: str | None, endpoint: str | None) -> Schema | None:
        """Return a deployment's schema, None where there is none or none can be had now. Never raises.

        A deployment without a name or a namespace has none of the service.
        """
        return self.answer_for(engine, namespace, name, endpoint).schema

    def answer_for(self, engine: str, namespace: str | None, name: str | None, endpoint: str | None) -> Answer:
        """Return a deployment's schema as `schema_for` does, and whether it is known that it has this one, or none."""
        if self._file is not None:
            schema = self._file.schema_for(namespace or "", name or "", endpoint or "")
            if schema is not None:
                return Answer(schema, True)
        if self._lookup is None or not namespace or not name:
            return Answer(None, True)
        return self._kept(Deployment(engine, namespace, name, endpoint or ""))

    def raw_schema(self, deployment: Deployment) -> Mapping[str, Any] | None:
        """Ask for a schema now, past what is kept, and give it as it is; for diagnosis.

        Raises MetadataUnavailableError.
        """
        if self._file is not None:
            schema = self._file.schema_for(deployment.namespace, deployment.name, deployment.endpoint)
            if schema is not None:
                return schema.raw
        return self._lookup(deployment) if self._lookup else None

    def _kept(self, deployment: Deployment) -> Answer:
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
                self._ask(deployment, entry, now)
            if entry.done.is_set() or not self._prompt:
                return Answer(entry.schema, entry.answered_at is not None)
            left = entry.deadline - now
        if left > 0 and not entry.done.wait(left):
            self._prompt = False
            self._happened("late")
        with self._lock:
            return Answer(entry.schema, entry.answered_at is not None)

    def _ask(self, deployment: Deployment, entry: _Entry, now: float) -> None:
        """Queue a fetch; the lock is held."""
        if len(self._queue) >= self._capacity:
            return
        entry.pending = True
        entry.asked_at = now
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
                # One try for all deployments: a service that is down is not asked for each of them.
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
            # A service that is quick but has many deployments to tell of first is slow all the same.
            self._prompt = now - entry.asked_at <= self._wait
        entry.done.set()
        self._happened("none" if schema is None else "fetched")
        if self._said:
            log.info("the metadata service answers again")
            self._said = ""
        return True

    def _failed(self, entry: _Entry, reason: str) -> bool:
        with self._lock:
            entry.due = time.monotonic() + self._retry
            entry.pending = False
            self._prompt = False
        # An old schema is better than none; who waits goes on.
        entry.done.set()
        self._happened("failed")
        if reason != self._said:
            log.warning("no metadata, events are stored without its names: %s", reason)
            self._said = reason
        return False


def _parsed(deployment: Deployment, raw: Mapping[str, Any], known: Schema | None) -> Schema:
    if known is not None and known.raw == raw:
        return known
    schema, problems = parse_schema(raw)
    if problems:
        log.warning("metadata of %s: %s", "/".join(deployment[1:]), "; ".join(problems[:5]))
    return schema
