"""Records where an event's time goes, without the OpenTelemetry SDK; `tracer` makes spans of it at the answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from request_logger.common.pieces import Pieces
from request_logger.documents.event import Event
from request_logger.store.changes import Plan, StoreUnavailableError, UnreadableError
from request_logger.store.writing.future import Future

A = TypeVar("A")
B = TypeVar("B")

MOST_SPANS = 64
"""The spans that are kept of an event. One takes about six; conflicts and batches of many rows repeat some."""

now = time.time_ns


class Source(Enum):
    """Where an event comes from; the value is the name of its trace's first span."""

    EVENT = "POST /"
    FEEDBACK = "POST /v1/feedback"
    KAFKA = "consume"
    SPOOL = "replay"

    @property
    def is_request(self) -> bool:
        """Whether it is an HTTP request, whose trace ends with the answer; of any other the plan ends it."""
        return self in (Source.EVENT, Source.FEEDBACK)


@dataclass(frozen=True, slots=True)
class Span:
    """A named part of an event's time (ns since 1970)."""

    name: str
    start: int
    end: int
    attributes: dict[str, Any] = field(default_factory=dict)


class Recording:
    """The spans of one event, from any thread. ``root`` belongs to the tracer that made it.

    ``end`` is called with the recording and the error, if any, when an event that isn't a request is stored or not.
    """

    __slots__ = ("_end", "_lap", "_score_end", "_score_nanoseconds", "_scores", "attributes", "root", "source", "spans",
                 "started")  # fmt: skip

    def __init__(
        self,
        root: Any,
        source: Source = Source.EVENT,
        end: Callable[[Recording, BaseException | None], None] = lambda recording, error: None,
    ) -> None:
        self.root = root
        self.source = source
        self._end = end
        self.started = self._lap = now()
        self.spans: list[Span] = []
        self.attributes: dict[str, str] = {}
        self._scores = self._score_end = self._score_nanoseconds = 0

    def add(self, name: str, start: int, end: int, **attributes: Any) -> None:
        """Record a span; there may be MOST_SPANS of them."""
        if len(self.spans) < MOST_SPANS:
            self.spans.append(Span(name, start, end, attributes))

    def received(self, event: Event) -> None:
        """Record the span until the event was read, and which event it is."""
        self.lap("receive")
        self.describe(event)

    def describe(self, event: Event) -> None:
        """Record which event it is."""
        self.attributes = {
            "cloudevents.event_id": event.id,
            "cloudevents.event_source": event.source or "",
            "request_logger.part": event.part,
            "request_logger.request_id": event.request_id,
            "request_logger.index": event.index,
        }

    def lap(self, name: str) -> None:
        """Record a span from the end of the last one of the request's thread, or from the beginning, to now."""
        moment = now()
        self.add(name, self._lap, moment)
        self._lap = moment

    def timed(self, score: Callable[[A], B]) -> Callable[[A], B]:
        """Return a function that does the same and records its time; calls for many documents make one span."""

        def measured(document: A) -> B:
            start = now()
            try:
                return score(document)
            finally:
                self._score_end = now()
                self._score_nanoseconds += self._score_end - start
                self._scores += 1

        return measured

    def ending(self, ended: Callable[[Future[Any]], None]) -> Callable[[Future[Any]], None]:
        """Return what to call at the end of the event's plan: ``ended``, and the end of a trace without a request."""
        if self.source.is_request:
            return ended

        def both(stored: Future[Any]) -> None:
            ended(stored)
            error = stored.exception()
            # The consumer submits such a record again: one trace shows all attempts.
            if self.source is not Source.KAFKA or not isinstance(error, StoreUnavailableError):
                self._end(self, error)

        return both

    def finish(self) -> list[Span]:
        """Return the spans, with one for scoring, and of a request one from the last one's end to now: the answer's."""
        spans = list(self.spans)
        if self._scores:
            start = self._score_end - self._score_nanoseconds
            spans.append(Span("score", start, self._score_end, {"request_logger.documents": self._scores}))
        if not self.source.is_request:
            return spans
        last = max((span.end for span in spans), default=self.started)
        return [*spans, Span("answer", last, max(now(), last))]


class _LastBulk(threading.local):
    """The last _bulk of each of the writer's threads; the plans that wait for it are resumed by the same thread."""

    start = end = size = 0


_last_bulk = _LastBulk()


class TimedEngine:
    """A search engine that notes when each _bulk was sent and answered, for the plans in it."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def bulk(self, body: bytes | Pieces) -> Any:
        """Send a _bulk as the engine does."""
        start = now()
        try:
            return self._engine.bulk(body)
        finally:
            _last_bulk.start, _last_bulk.end, _last_bulk.size = start, now(), len(body)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def timed_plan(plan: Plan, recording: Recording) -> Plan:
    """Return a plan that does the same and records how long it waited for its _bulk, the _bulk, and its own time.

    The wait is for other events (LINGER_MS), for the _bulk in flight, and includes attempts that had to be repeated.
    """
    waiting_since = now()
    results: list[Any] | None = None
    error: UnreadableError | None = None
    while True:
        resumed = now()
        if results is not None or error is not None:
            _note_bulk(recording, waiting_since, resumed)
            waiting_since = resumed
        try:
            # A generator that hasn't started accepts only None.
            changes = plan.throw(error) if error is not None else plan.send(results)  # type: ignore[arg-type]
        except StopIteration as end:
            recording.add("plan", resumed, now())
            return end.value
        recording.add("plan", resumed, now())
        try:
            error, results = None, (yield changes)
        except UnreadableError as caught:
            error = caught


def _note_bulk(recording: Recording, since: int, until: int) -> None:
    start, end = _last_bulk.start, _last_bulk.end
    # Without one in this time the writer knew the answer already.
    if since <= start:
        recording.add("wait", since, start)
        recording.add("bulk", start, end, **{"request_logger.bulk.bytes": _last_bulk.size})
    else:
        recording.add("wait", since, until)
