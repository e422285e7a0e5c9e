"""Batched requests: events are stored in windows, and the answer is in time even if some are left.

A sender gives up after some seconds (KServe's agent after 10) and then sends the whole batch again. Events that aren't
stored within STORE_TIMEOUT_SECONDS are therefore answered 503, one by one, and acknowledged events are remembered for
one to two minutes, so that a retry continues where the first attempt ended.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from hashlib import blake2b

from request_logger.common.json import dumps
from request_logger.documents.envelope import event_json
from request_logger.documents.event import Event, join_key_of
from request_logger.documents.typed_envelope import from_parsed, typed_batch
from request_logger.ingest.memory_budget import Budget, NoRoomError, RequestTooLargeError
from request_logger.ingest.pipeline import IngestPipeline
from request_logger.ingest.replies import Documents
from request_logger.otlp import Recording, RequestTraces
from request_logger.server.batch_elements import elements
from request_logger.server.responses import EMPTY, RETRY_AFTER_SECONDS, Answer, answer_to, error_answer, line_answer
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.writing.future import Future
from request_logger.store.writing.linger import Arrival
from request_logger.telemetry import Telemetry

OK = 200
# Each element gets its own entry in the answer: for an array of millions of numbers that would be gigabytes.
MOST_EVENTS = 100_000
# As many as one _bulk takes; when half of them are stored, as many are added. More in the writer at once is no faster
# and takes memory.
_WINDOW_EVENTS = 1_000
# Most bytes of a batch in the writer at once, as a share of MAX_PENDING_BYTES: other requests need room as well.
_WINDOW_SHARE = 4
# After so many events (some ms) other connections and the worker's heartbeat get their turn.
_EVENTS_PER_TURN = 50
# Events stored within the first second of a batch aren't remembered: a digest costs some per cent of an event, most
# batches are done by then, and storing them again on a retry costs that second at most.
_SHORT_SECONDS = 1.0
_DIGEST_BYTES = 16
# Share of STORE_TIMEOUT_SECONDS for storing; the rest is for reading what is left and for writing the answer.
_STORING_SHARE = 0.9

_LEFT = error_answer(503, "the batch took too long; send this event again")


class Acknowledged:
    """Digests of events that were acknowledged within the last one to two minutes by answers that left others out.

    A retry within that time answers them from here: the engine, or the spool, has them. At most 100,000 are kept, of
    about 100 bytes each. Thread-safe: a set that is turned meanwhile at worst forgets early.
    """

    _MOST = 50_000
    _SECONDS = 60.0

    def __init__(self) -> None:
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()
        self._turned_at = time.monotonic()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._new or digest in self._old

    @property
    def is_empty(self) -> bool:
        """Whether it holds no digest; drops those that are too old."""
        if time.monotonic() - self._turned_at > self._SECONDS:
            self._turn()
        return not self._new and not self._old

    def add(self, digests: set[bytes]) -> None:
        """Remember some digests."""
        for digest in digests:
            if len(self._new) >= self._MOST:
                self._turn()
            self._new.add(digest)

    def _turn(self) -> None:
        self._old, self._new = self._new, set()
        self._turned_at = time.monotonic()


class BatchRoute:
    """Answers batched requests. Thread-safe."""

    def __init__(self, settings: Settings, pipeline: IngestPipeline, budget: Budget, telemetry: Telemetry) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._budget = budget
        self._telemetry = telemetry
        self._acknowledged = Acknowledged()

    def take(
        self, raw: bytes | bytearray, started: float, forward: Callable[[bytes | bytearray | None], None] | None = None
    ) -> Answer:
        """Store a batch: 200 and empty when all of it is stored, else the status of each event.

        ``started`` is when reading it began, by time.monotonic. ``forward`` gets the body if all of it was stored, else
        one with the events that were, or None where that couldn't be made. Raises BadEventError where it isn't JSON
        array, RequestTooLargeError and NoRoomError.
        """
        values = elements(raw, self._budget, typed_batch)
        stored: set[int] = set()
        answers = self.take_all(
            values,
            started,
            lambda value: from_parsed(value, self._settings),
            on_stored=None if forward is None else lambda position, event: stored.add(position),
        )
        if forward is not None and stored:
            forward(raw if len(stored) == len(answers) else self._only(raw, stored))
        if all(answer.status == OK for answer in answers):
            return EMPTY
        return joint_answer(answers, b'{"events":%b}' % entries(answers))

    def take_all(
        self,
        values: Iterable[object],
        started: float,
        event_of: Callable[[object], Event],
        answer_of: Callable[[Event, Documents | None], Answer] = lambda event, documents: EMPTY,
        on_stored: OnStored | None = None,
        traces: RequestTraces | None = None,
    ) -> list[Answer]:
        """Store the events that ``event_of`` makes of some values; return the answer to each.

        An error of ``event_of`` is the answer to that one; ``answer_of`` makes the answers to those that are stored.
        ``on_stored`` gets the position and the unchanged event of each that is stored now: not of those that an
        earlier answer acknowledged. ``traces`` makes a trace of each that is submitted. Otherwise as `take`; raises
        what iterating over ``values`` raises.
        """
        batch = _Batch(
            self._settings,
            self._pipeline,
            self._telemetry,
            self._acknowledged,
            started,
            event_of,
            answer_of,
            on_stored,
            traces,
        )
        for number, value in enumerate(values):
            if number >= MOST_EVENTS:
                raise RequestTooLargeError(f"body: more than {MOST_EVENTS} events")
            if number % _EVENTS_PER_TURN == 0:
                time.sleep(0)
            batch.take(value)
        return batch.answers()

    def _only(self, raw: bytes | bytearray, positions: set[int]) -> bytes | None:
        """Return a batch with the events at some positions of one, None where there is no memory for it."""
        try:
            values = enumerate(elements(raw, self._budget, typed_batch))
            return b"[%b]" % b",".join(event_json(value) for position, value in values if position in positions)
        except (NoRoomError, RequestTooLargeError):
            # They are stored, whether or not there is a copy.
            return None


def entries(answers: Iterable[Answer]) -> bytes:
    """Return a JSON array with one object per answer: status, error if there is one, and further fields."""
    # Many have the same answer.
    texts: dict[int, bytes] = {}
    parts = []
    for answer in answers:
        if id(answer) not in texts:
            error = {"error": answer.error} if answer.error else {}
            texts[id(answer)] = dumps({"status": answer.status, **error, **answer.fields})
        parts.append(texts[id(answer)])
    return b"[%b]" % b",".join(parts)


def joint_answer(answers: Iterable[Answer], line: bytes) -> Answer:
    """Return the answer to several events: 503 if some have to be sent again, 207 if some failed, else 200."""
    statuses = {answer.status for answer in answers}
    if 503 in statuses:
        return line_answer(line, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})
    return line_answer(line, OK if statuses <= {OK} else 207)


OnStored = Callable[[int, Event], None]
# Position, event, its future, its digest, the event before redaction, and its recording.
Waiting = tuple[int, Event, Future[Documents | None], bytes, Event, Recording | None]


class _Batch:
    def __init__(
        self,
        settings: Settings,
        pipeline: IngestPipeline,
        telemetry: Telemetry,
        known: Acknowledged,
        started: float,
        event_of: Callable[[object], Event],
        answer_of: Callable[[Event, Documents | None], Answer],
        on_stored: OnStored | None,
        traces: RequestTraces | None,
    ) -> None:
        self._on_stored = on_stored
        self._traces = traces
        self._event_of = event_of
        self._answer_of = answer_of
        self._pipeline = pipeline
        self._telemetry = telemetry
        self._redacts = pipeline.redacts
        self._known = known
        self._looks_up = not known.is_empty
        self._started = started
        self._until = self._started + _STORING_SHARE * settings.store_timeout_seconds
        self._most_bytes = settings.max_pending_bytes // _WINDOW_SHARE
        self._answers: list[Answer] = []
        # One object for all events with the same answer.
        self._same: dict[tuple[int, str], Answer] = {}
        self._waiting: deque[Waiting] = deque()
        self._waiting_bytes = 0
        self._digests: set[bytes] = set()

    def take(self, value: object) -> None:
        """Submit the next event, as parsed; wait for earlier ones first when the window is full."""
        now = time.monotonic()
        if now > self._until:
            # There may be tens of thousands of these.
            self._answers.append(_LEFT)
            return
        self._answers.append(EMPTY)
        recording = None if self._traces is None else self._traces.begin()
        try:
            event = original = self._pipeline.admit(self._event_of(value))
            digest = b""
            # Redaction changes the event, and with it the digest.
            if self._looks_up or self._redacts or now - self._started > _SHORT_SECONDS:
                digest = _digest(event)
                if self._looks_up and digest in self._known:
                    self._digests.add(digest)
                    self._answers[-1] = self._answer_of(self._pipeline.redact(event), None)
                    return
            if recording is not None:
                recording.received(event)
            if self._redacts:
                event = self._pipeline.redact(event)
            stored = self._submit(event, recording)
            self._waiting.append((len(self._answers) - 1, event, stored, digest, original, recording))
        except Exception as error:
            self._failed(-1, error)
            return
        self._waiting_bytes += event.body.size
        if len(self._waiting) >= _WINDOW_EVENTS or self._waiting_bytes > self._most_bytes:
            self._wait((len(self._waiting) + 1) // 2)

    def answers(self) -> list[Answer]:
        """Wait for the remaining events, and return the answer to each."""
        self._wait(len(self._waiting))
        left = sum(answer is _LEFT for answer in self._answers)
        if left:
            self._telemetry.turned_away("unavailable", _LEFT.error, left)
        if any(answer.status == 503 for answer in self._answers):
            self._known.add(self._digests)
        return self._answers

    def _submit(self, event: Event, recording: Recording | None) -> Future[Documents | None]:
        try:
            return self._pipeline.submit(event, Arrival.IN_BULK, recording)
        except StoreUnavailableError:
            if not self._waiting:
                raise
        # This batch itself may hold the room.
        self._wait(len(self._waiting))
        return self._pipeline.submit(event, Arrival.IN_BULK, recording)

    def _wait(self, count: int) -> None:
        """Wait for the ``count`` oldest events in flight."""
        waiting = [self._waiting.popleft() for _ in range(count)]
        results = self._pipeline.wait_all([(event, stored) for _, event, stored, *_ in waiting], self._until)
        notes = time.monotonic() - self._started > _SHORT_SECONDS
        for (position, event, _, digest, original, recording), result in zip(waiting, results, strict=True):
            self._waiting_bytes -= event.body.size
            if recording is not None and self._traces is not None:
                self._traces.end(recording, result)
            if isinstance(result, Exception):
                self._failed(position, result)
                continue
            self._answers[position] = self._answer_of(event, result)
            if self._on_stored is not None:
                self._on_stored(position, original)
            if notes:
                self._digests.add(digest or _digest(event))

    def _failed(self, position: int, error: Exception) -> None:
        answer = answer_to(error, self._telemetry)
        self._answers[position] = self._same.setdefault((answer.status, answer.error), answer)


def _digest(event: Event) -> bytes:
    """Return a digest of an event, independent of its time of arrival."""
    named = (event.index, event.request_id, join_key_of(event))
    known = (*named, event.part, event.node, event.time, event.source, event.header)
    body = event.body
    digest = blake2b(
        repr((known, event.trace_id, body.content_type, body.size, body.sha256)).encode(), digest_size=_DIGEST_BYTES
    )
    digest.update(body.raw or b"")
    return digest.digest()
