"""What the routes share: an event goes through access, redaction, scoring and the store, or waits on disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry

from request_logger.documents.document import Part, TooManyRowsError, degrade, parts_of
from request_logger.documents.event import Event
from request_logger.documents.log_fields import log_fields
from request_logger.ingest.access import Access
from request_logger.ingest.memory_budget import ROW_BYTES, Budget, RequestTooLargeError, event_bytes
from request_logger.ingest.redaction import Redactor
from request_logger.ingest.replies import Documents, Replies, watched
from request_logger.ingest.sampling import sample
from request_logger.ingest.write_plan import merging, record
from request_logger.metadata import Schema, metadata_source
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import settler
from request_logger.settings import Settings
from request_logger.spool import Replayer, Spool
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.writing.bulk_tokens import BulkTokens
from request_logger.store.writing.future import Future
from request_logger.store.writing.locator import Locator
from request_logger.store.writing.ports import Limits
from request_logger.store.writing.writer import Writer
from request_logger.telemetry import Telemetry

log = logging.getLogger(__name__)

# What a feedback left in the engine, nothing for any other event and for one that is spooled, or what went wrong.
Result = Documents | None | Exception

# What an event holds in memory beside its body, about.
EVENT_WEIGHT_BYTES = 1000

# For the writer to end what it has given up on. With it, the half second of METADATA_WAIT_SECONDS and the default
# STORE_TIMEOUT_SECONDS an event is answered within 8 s.
_GRACE_SECONDS = 0.5
# Decoding takes up to a second and memory that the budget can't know of: of larger bodies one at a time is decoded.
_LARGE_BODY_BYTES = 32 * 2**10
# Before each of them, for the other connections and for the worker's sign of life to its master: gevent would else run
# 50 of them in a row.
_PAUSE_SECONDS = 0.001


class IngestPipeline:
    """What the routes share: settings, the store, and what is counted."""

    def __init__(self, settings: Settings, registry: CollectorRegistry, tokens: BulkTokens | None = None) -> None:
        self.settings = settings
        self.budget = Budget(settings.memory_budget_bytes)
        self._decoding = threading.Lock()
        self.telemetry = Telemetry(registry)
        self.access = Access(settings)
        self.redactor = Redactor(settings.redact, settings.redact_key, strict=settings.redact_strict)
        # The workers' parent has warned.
        self.engine = SearchEngine(settings, warn=False)
        self.metadata = metadata_source(settings, lambda what: self.telemetry.metadata.labels(what).inc())
        self.replies = Replies(settings, lambda outcome: self.telemetry.replies.labels(outcome).inc())
        self.settle = settler(Chooser(settings.scorer, settings.scorers_config or None))
        self.writer = Writer(
            self.engine,
            degrade,
            self.telemetry,
            Limits(
                timeout_seconds=settings.store_timeout_seconds,
                max_pending_bytes=settings.max_pending_bytes,
                bulk_max_bytes=settings.bulk_max_bytes,
                cache_max_bytes=settings.cache_max_bytes,
            ),
            tokens,
            Locator(settings.index_period, merging(self.settle)),
            self.telemetry.looked_up,
        )
        self.spool: Spool | None = None
        self.replayer: Replayer | None = None
        # While the engine fails, one event in so many seconds tries it; the others are spooled at once.
        self._try_again_at = 0.0
        # Whether somebody has to know of the end of each event.
        self._notes = bool(settings.spool_dir or settings.reply_url)
        if settings.spool_dir:
            self.spool = Spool(settings.spool_dir, settings.spool_max_bytes, self.telemetry)
            self.replayer = Replayer(
                self.spool,
                settings.spool_dir,
                self._submit,
                lambda: self.writer.down_for > 0,
                self.telemetry,
                batch_bytes=settings.max_pending_bytes // 4,
            )

    def close(self) -> None:
        """Finish what is under way, and stop."""
        if self.replayer is not None:
            self.replayer.close(timeout=5)
        # All have their answers by now: what an engine that hangs has not taken was spooled or refused. With the
        # events' own time limit before it, that is within the server's grace.
        self.writer.close(timeout=10)
        self.replies.close(timeout=5)
        if self.spool is not None:
            self.spool.close()

    def admit(self, event: Event) -> Event:
        """Give an event that may be stored. Raises ForbiddenEventError, and IgnoredEventError for one to leave out."""
        event = self.access.admit(event)
        sample(event, self.settings.sample_rate)
        return event

    def redact(self, event: Event) -> Event:
        """Return the event as it may be stored: once, before it goes anywhere, the spool included."""
        _, namespace, name, _ = event.owner
        if not self.redactor or not self.redactor.applies(namespace or "", name or ""):
            return event
        if event.part not in ("request", "response", "feedback") or event.body.raw is None:
            return self.redactor.redact(event)
        schema, is_known = self.metadata.answer_for(*event.owner)
        return self.redactor.redact(event, schema, is_schema_known=is_known)

    def submit(self, event: Event) -> Future[Documents | None]:
        """Queue an event. Without a spool, raises StoreUnavailableError where there is no room for it."""
        try:
            if self.spool is not None and self._is_failing(self.spool):
                raise StoreUnavailableError("the engine does not answer")
            return self._submit(event)
        except StoreUnavailableError as error:
            if self.spool is None:
                raise
            failed: Future[Documents | None] = Future()
            failed.set_exception(error)
            return failed

    def _is_failing(self, spool: Spool) -> bool:
        if spool.is_empty or not spool.has_room:
            return False
        now = time.monotonic()
        if self.writer.down_for > 0 or now < self._try_again_at:
            return True
        if self._try_again_at:
            self._try_again_at = now + self.settings.store_timeout_seconds
        return False

    def _submit(self, event: Event) -> Future[Documents | None]:
        return self.prepared(event)()

    def prepared(self, event: Event) -> Callable[[], Future[Documents | None]]:
        """Do all of a submission but the queueing, which is what the given function does: it may be called again.

        So many events can be queued at once, and what they have to do with one document goes into one write. There
        is no spool on this way. The function raises StoreUnavailableError where there is no room, RequestTooLargeError
        where there can't be any.
        """
        schema = self._schema_of(event)
        held = event_bytes(event.body.raw)
        parts = self._parts_of(event, schema, self.budget.most_rows(held))
        held += len(parts) * ROW_BYTES
        self._count(event, parts[0].content)
        weight = (event.body.size if event.body.raw is not None else 0) + EVENT_WEIGHT_BYTES

        def queue() -> Future[Documents | None]:
            self.budget.take(held)
            try:
                plan = record(event, parts, self.settle)
                return self.writer.submit(watched(plan) if event.part == "feedback" else plan, weight, ended)
            except BaseException:
                self.budget.give_back(held)
                raise

        def ended(stored: Future[Documents | None]) -> None:
            self.budget.give_back(held)
            if self._notes:
                self._note(event, stored)

        return queue

    def _parts_of(self, event: Event, schema: Schema | None, most_rows: int) -> list[Part]:
        try:
            if event.body.size < _LARGE_BODY_BYTES:
                return parts_of(event, schema, most_rows)
            with self._decoding:
                time.sleep(_PAUSE_SECONDS)
                return parts_of(event, schema, most_rows)
        except TooManyRowsError:
            raise RequestTooLargeError("body: has more rows than fit into MEMORY_BUDGET_BYTES") from None

    def _note(self, event: Event, stored: Future[Documents | None]) -> None:
        if stored.exception() is None:
            self._try_again_at = 0.0
            # Here, so that feedback which comes back from the spool has its reply, too.
            self.replies.send(event, stored.result())

    def _count(self, event: Event, content: dict[str, Any]) -> None:
        if "undecodable" in content:
            self.telemetry.undecodable.labels(event.part).inc()
            self.telemetry.warn("undecodable", event.index, f"a {event.part} is stored as it came")
        if event.body.raw is None:
            self.telemetry.payload_dropped.inc()
            self.telemetry.warn("payload_dropped", event.index, f"a {event.part} is stored without its body")

    def _schema_of(self, event: Event) -> Schema | None:
        if event.part in ("feedback", "outlier") or event.body.raw is None:
            return None
        return self.metadata.schema_for(*event.owner)

    def wait(self, event: Event, stored: Future[Documents | None]) -> Documents | None:
        """Wait until an event is stored or spooled; give what a feedback left in the engine, None where it is spooled.

        Raises StoreUnavailableError and RejectedError.
        """
        (result,) = self.wait_all([(event, stored)])
        if isinstance(result, Exception):
            raise result
        return result

    def wait_all(
        self, sent: Sequence[tuple[Event, Future[Documents | None]]], until: float | None = None
    ) -> list[Result]:
        """Wait for several events as `wait` does, no longer than for one; those to spool go there in one transaction.

        What `wait` would raise is the result of its event. ``until`` (by time.monotonic) is by default
        STORE_TIMEOUT_SECONDS from now.
        """
        deadline = (until or time.monotonic() + self.settings.store_timeout_seconds) + _GRACE_SECONDS
        results = [self._result(event, stored, deadline) for event, stored in sent]
        self._count_stored(sent, results)
        late = [number for number, result in enumerate(results) if isinstance(result, StoreUnavailableError)]
        if late and self.spool is not None:
            if time.monotonic() >= self._try_again_at:
                self._try_again_at = time.monotonic() + self.settings.store_timeout_seconds
            for number, error in zip(late, self.spool.append_all([sent[number][0] for number in late]), strict=True):
                results[number] = error
                if error is None:
                    self.telemetry.events.labels(sent[number][0].part, "spooled").inc()
        return results

    def _count_stored(self, sent: Sequence[tuple[Event, Future[Documents | None]]], results: Sequence[Result]) -> None:
        """Count once for all: each count of its own costs a lock, and a write to a shared file."""
        counts: dict[str, int] = {}
        for (event, _), result in zip(sent, results, strict=True):
            if not isinstance(result, Exception):
                counts[event.part] = counts.get(event.part, 0) + 1
        for part, count in counts.items():
            self.telemetry.stored(part).inc(count)

    def _result(self, event: Event, stored: Future[Documents | None], deadline: float) -> Result:
        try:
            documents = stored.result(max(deadline - time.monotonic(), 0))
        except TimeoutError:
            return StoreUnavailableError("the engine did not take it in time")
        except Exception as error:
            return error
        if documents and any("unscorable" in (document or {}).get("metrics", {}) for document in documents.values()):
            self.telemetry.unscored.inc()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("stored", extra=log_fields(event))
        return documents
