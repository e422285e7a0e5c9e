"""Ingest pipeline: admit, redact, decode, store, or spool."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from request_logger.documents.batches import Keep, Keeping
from request_logger.documents.event import Event
from request_logger.documents.log_fields import log_fields
from request_logger.documents.parts import Part, TooManyRowsError, parts_of
from request_logger.ingest.access import Access
from request_logger.ingest.erased import ERASED, ErasedIds
from request_logger.ingest.key_plan import KeyPlans
from request_logger.ingest.memory_budget import ROW_BYTES, Budget, RequestTooLargeError, event_bytes
from request_logger.ingest.redaction import Redactor
from request_logger.ingest.replies import Documents, Replies, watched
from request_logger.ingest.sampling import sample
from request_logger.metadata import MetadataSource, Schema
from request_logger.otlp import Recording, timed_plan
from request_logger.payloads.bodies import GZIP
from request_logger.scoring.reasons import is_code_error
from request_logger.scoring.rules import FlatOf
from request_logger.scoring.score import Settle
from request_logger.settings import Settings
from request_logger.spool import EventTooLargeError, Spool
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.future import Future
from request_logger.store.writing.linger import Arrival
from request_logger.store.writing.writer import Writer
from request_logger.telemetry import Telemetry

log = logging.getLogger(__name__)

# The documents that feedback changed, None for other events and for spooled ones, or the error.
Result = Documents | None | Exception

# Estimate of the memory that an event holds in addition to its body.
EVENT_WEIGHT_BYTES = 1000

# The writer needs it to end plans whose deadline has passed. Together with METADATA_WAIT_SECONDS (0.5 s) and the
# default of STORE_TIMEOUT_SECONDS (7 s), an event is answered within 8 s.
_GRACE_SECONDS = 0.5
# Decoding larger bodies takes up to a second, and memory that the budget doesn't know of: one at a time.
_LARGE_BODY_BYTES = 32 * 2**10
# Pause before each of them, in which other connections and the worker's heartbeat get their turn: gevent would
# otherwise run 50 of them in a row.
_PAUSE_SECONDS = 0.001
# What `submit` returns for an event whose place is the spool.
_QUEUED: Future[Documents | None] = Future()


class Prepared(NamedTuple):
    """A decoded event, ready for the engine."""

    held_bytes: int
    """Estimated memory that it holds."""
    queue: Callable[[], Future[Documents | None]]
    """Queues it; may be called again to retry. Raises StoreUnavailableError when there is no room, and
    RequestTooLargeError when there never can be."""


_STORED_NOTHING: Future[Documents | None] = Future()
_STORED_NOTHING.set_result(None)
_NOTHING_TO_STORE = Prepared(0, lambda: _STORED_NOTHING)


class IngestPipeline:
    """Admits, redacts, decodes and submits events; what the engine can't take goes to the spool.

    Thread-safe. Its parts are built in `request_logger.composition`, which also closes them.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        telemetry: Telemetry,
        budget: Budget,
        access: Access,
        redactor: Redactor,
        metadata: MetadataSource,
        replies: Replies,
        plans: KeyPlans,
        settle: Settle,
        flat_of: FlatOf,
        erased: ErasedIds,
        writer: Writer,
        spool: Spool | None,
    ) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._budget = budget
        self._access = access
        self._redactor = redactor
        self._metadata = metadata
        self._replies = replies
        self._plans = plans
        self._settle = settle
        self._flat_of = flat_of
        self._erased = erased
        self._writer = writer
        self._spool = spool
        self._decoding = threading.Lock()
        self._keep = Keeping(cast(Keep, settings.keep_payload), settings.keep_embeddings, settings.text_search)
        self._queues_all = spool is not None and settings.queues_all_events
        # While the engine fails, one event per STORE_TIMEOUT_SECONDS tries it; the others are spooled at once.
        self._try_again_at = 0.0
        # Those that the settings ask for; most need none but that of erased ids.
        self._checks: list[Callable[[Event], Event]] = []
        if access.restricts_namespaces:
            self._checks.append(access.admit)
        self._checks.append(erased.check)
        if settings.sample_rate < 1:
            self._checks.append(lambda event: sample(event, settings.sample_rate))
        # Whether the end of each event has to be known.
        self._notes = spool is not None or bool(settings.reply_url)

    @property
    def redacts(self) -> bool:
        """Whether events may be changed by redaction."""
        return bool(self._redactor)

    def admit(self, event: Event) -> Event:
        """Return the event if it may be stored.

        Raises ForbiddenEventError, and IgnoredEventError if it is not in the sample, or of an erased prediction.
        """
        for check in self._checks:
            event = check(event)
        return event

    def redact(self, event: Event, redacted_by: str = "") -> Event:
        """Return the event without what REDACT names. To be called once, before the event is queued or spooled.

        ``redacted_by`` says by which rules an event from an archive is redacted already: see `redaction_of`.
        """
        if not self._redactor:
            return event
        _, namespace, name, _ = event.owner
        if not self._redactor.applies(namespace or "", name or ""):
            return event
        if event.part not in ("request", "response", "feedback") or event.body.raw is None:
            return self._redactor.redact(event, redacted_by=redacted_by)
        schema, is_known = self._metadata.answer_for(*event.owner)
        return self._redactor.redact(event, schema, is_schema_known=is_known, redacted_by=redacted_by)

    def redaction_of(self, event: Event) -> str:
        """Return the fingerprint of the rules of REDACT that apply to an event, empty without any."""
        return self._redactor.fingerprint(event) if self._redactor else ""

    def submit(
        self, event: Event, arrival: Arrival = Arrival.ALONE, recording: Recording | None = None
    ) -> Future[Documents | None]:
        """Queue an event; ``arrival`` bounds how long it waits there for others.

        Without a spool, raises StoreUnavailableError when there is no room for it. With QUEUE=always it is only checked
        here, and written to the spool by `wait` or `wait_all`. Raises RequestTooLargeError where it could never be
        replayed.
        """
        if self._queues_all:
            self._check_size(event)
            return _QUEUED
        try:
            if self._spool is not None and self._is_failing(self._spool):
                raise StoreUnavailableError("the engine does not answer")
            return self.decoded(event, arrival, recording).queue()
        except StoreUnavailableError as error:
            if self._spool is None:
                raise
            failed: Future[Documents | None] = Future()
            failed.set_exception(error)
            return failed

    def _check_size(self, event: Event) -> None:
        """Decode a body, and refuse one with more rows than fit into memory."""
        raw = event.body.raw
        if raw is None:
            return
        most_rows = self._budget.most_rows(event_bytes(raw))
        # A row takes at least a byte of a body that isn't compressed.
        if event.body.size > most_rows or raw.startswith(GZIP):
            self._parts_of(event, None, most_rows)

    def _is_failing(self, spool: Spool) -> bool:
        if spool.is_empty or not spool.has_room:
            return False
        now = time.monotonic()
        if self._writer.down_for > 0 or now < self._try_again_at:
            return True
        if self._try_again_at:
            self._try_again_at = now + self._settings.store_timeout_seconds
        return False

    def submit_to_engine(self, event: Event) -> Future[Documents | None]:
        """Queue an event for the engine, never for the spool. Raises what `decoded` and `Prepared.queue` raise."""
        return self.decoded(event).queue()

    def prepared(self, event: Event, recording: Recording | None = None) -> Callable[[], Future[Documents | None]]:
        """Decode an event and return the function that queues it: see `Prepared.queue`."""
        return self.decoded(event, recording=recording).queue

    def decoded(self, event: Event, arrival: Arrival = Arrival.IN_BULK, recording: Recording | None = None) -> Prepared:
        """Decode an event, for the engine, never for the spool.

        Many decoded events can be queued at once, so that the writer joins those of one document into one write. Raises
        RequestTooLargeError where the event never fits into memory.
        """
        if self._erased.has(event):
            # It was spooled before the prediction was erased.
            self._telemetry.events.labels(event.part, ERASED).inc()
            return _NOTHING_TO_STORE
        schema = self._schema_of(event) if self._metadata.enabled else None
        held = event_bytes(event.body.raw)
        parts = self._parts_of(event, schema, self._budget.most_rows(held))
        held += len(parts) * ROW_BYTES
        if event.body.raw is None or "undecodable" in parts[0].content:
            self._count(event, parts[0].content)
        if recording is not None:
            recording.lap("decode")
        weight = (event.body.size if event.body.raw is not None else 0) + EVENT_WEIGHT_BYTES

        def queue() -> Future[Documents | None]:
            self._budget.take(held)
            try:
                settle = self._settle if recording is None else recording.timed(self._settle)
                plan = self._plans.record(event, parts, settle)
                watch = watched(plan) if event.part == "feedback" else plan
                then: Callable[[Future[Any]], None] = ended
                if recording is not None:
                    watch, then = timed_plan(watch, recording), recording.ending(ended)
                return self._writer.submit(watch, weight, then, arrival)
            except BaseException:
                self._budget.give_back(held)
                raise

        def ended(stored: Future[Documents | None]) -> None:
            self._budget.give_back(held)
            if event.part == "feedback":
                self._count_unscored(stored)
            if self._notes:
                self._note(event, stored)

        return Prepared(held, queue)

    def _parts_of(self, event: Event, schema: Schema | None, most_rows: int) -> list[Part]:
        get = event.header.get
        names = get("Ce-Namespace"), get("Ce-Inferenceservicename"), get("Ce-Endpoint")
        flat = self._flat_of(names[0] or "", names[1] or "", names[2] or "", event.node)
        try:
            if event.body.size < _LARGE_BODY_BYTES:
                return parts_of(event, schema, most_rows, self._keep, flat)
            with self._decoding:
                time.sleep(_PAUSE_SECONDS)
                return parts_of(event, schema, most_rows, self._keep, flat)
        except TooManyRowsError:
            raise RequestTooLargeError("body: has more rows than fit into MEMORY_BUDGET_BYTES") from None

    def _note(self, event: Event, stored: Future[Documents | None]) -> None:
        if stored.exception() is None:
            self._try_again_at = 0.0
            # Not in the route, so that feedback which is replayed from the spool gets its reply too.
            self._replies.send(event, stored.result())

    def _count_unscored(self, stored: Future[Documents | None]) -> None:
        # Not in the route, which doesn't wait for events of the spool.
        documents = stored.result() if stored.exception() is None else None
        found = [document["metrics"] for document in (documents or {}).values() if document and "metrics" in document]
        reasons = [str(metrics["unscorable"]) for metrics in found if "unscorable" in metrics]
        if not reasons:
            return
        self._telemetry.unscored.inc()
        if any(is_code_error(reason) for reason in reasons):
            self._telemetry.scorer_errors.inc()

    def _count(self, event: Event, content: dict[str, Any]) -> None:
        if "undecodable" in content:
            self._telemetry.undecodable.labels(event.part).inc()
            self._telemetry.warn("undecodable", event.index, f"a {event.part} is stored unchanged")
        if event.body.raw is None:
            self._telemetry.payload_dropped.inc()
            self._telemetry.warn("payload_dropped", event.index, f"a {event.part} is stored without its body")

    def _schema_of(self, event: Event) -> Schema | None:
        if event.part in ("feedback", "outlier") or event.body.raw is None:
            return None
        return self._metadata.schema_for(*event.owner)

    def wait(
        self, event: Event, stored: Future[Documents | None], recording: Recording | None = None
    ) -> Documents | None:
        """Wait until an event is stored or spooled; return the documents that feedback changed, None if spooled.

        Raises StoreUnavailableError and RejectedError.
        """
        (result,) = self.wait_all([(event, stored)], recording=recording)
        if isinstance(result, Exception):
            raise result
        return result

    def wait_all(
        self,
        sent: Sequence[tuple[Event, Future[Documents | None]]],
        until: float | None = None,
        recording: Recording | None = None,
    ) -> list[Result]:
        """Wait for several events as `wait` does for one, with one deadline; spool the late ones in one transaction.

        Errors are returned as results, not raised. ``until`` (by time.monotonic) is by default
        STORE_TIMEOUT_SECONDS from now.
        """
        if self._queues_all:
            return [_final(error) for error in self._append([event for event, _ in sent], recording)]
        deadline = (until or time.monotonic() + self._settings.store_timeout_seconds) + _GRACE_SECONDS
        logs = log.isEnabledFor(logging.DEBUG)
        results = [self._result(event, stored, deadline, logs=logs) for event, stored in sent]
        self._count_stored(sent, results)
        late = [number for number, result in enumerate(results) if isinstance(result, StoreUnavailableError)]
        if late and self._spool is not None:
            if time.monotonic() >= self._try_again_at:
                self._try_again_at = time.monotonic() + self._settings.store_timeout_seconds
            for number, error in zip(late, self._append([sent[number][0] for number in late], recording), strict=True):
                results[number] = StoreUnavailableError(f"{results[number]}; {error}") if error is not None else None
        return results

    def _append(self, events: Sequence[Event], recording: Recording | None) -> list[StoreUnavailableError | None]:
        """Write events to the spool in one transaction; return the error of each, None for those on disk."""
        assert self._spool is not None
        started = time.time_ns() if recording is not None else 0
        errors = self._spool.append_all(events)
        if recording is not None:
            recording.add("spool", started, time.time_ns())
        for event, error in zip(events, errors, strict=True):
            if error is None:
                self._telemetry.spooled_by_part(event.part).inc()
        return errors

    def _count_stored(self, sent: Sequence[tuple[Event, Future[Documents | None]]], results: Sequence[Result]) -> None:
        """Count all results at once: each increment costs a lock and a write to a shared file."""
        counts: dict[str, int] = {}
        for (event, _), result in zip(sent, results, strict=True):
            if not isinstance(result, Exception):
                counts[event.part] = counts.get(event.part, 0) + 1
        for part, count in counts.items():
            self._telemetry.stored(part).inc(count)

    def _result(self, event: Event, stored: Future[Documents | None], deadline: float, *, logs: bool) -> Result:
        try:
            documents = stored.result(0 if stored.ended else max(deadline - time.monotonic(), 0))
        except TimeoutError:
            return StoreUnavailableError("the engine did not store it in time")
        except Exception as error:
            return error
        if logs:
            log.debug("stored", extra=log_fields(event))
        return documents


def _final(error: StoreUnavailableError | None) -> Result:
    """Return the answer to an event whose only place is the spool."""
    return RequestTooLargeError(f"body: {error}") if isinstance(error, EventTooLargeError) else error
