"""The events route, ``POST /``: reads a single event or a batch, has it stored, and answers. Plain WSGI.

It stands in front of Flask, whose own handling of a request costs more than everything that is done with an event
(`python -m bench.speed` measures both). Flask handles all other routes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from request_logger.documents.envelope import parse_structured
from request_logger.documents.event import (
    Body,
    Event,
    from_headers,
    from_structured,
    kept_body,
    with_body,
)
from request_logger.forward import Forwarder, message_of
from request_logger.ingest.access import EVENTS_PATH, Access
from request_logger.ingest.memory_budget import Budget, RequestTooLargeError, Share, parsed_bytes
from request_logger.ingest.pipeline import IngestPipeline
from request_logger.ingest.replies import Replies
from request_logger.otlp import Recording, TracerLike
from request_logger.server.batch_route import BatchRoute
from request_logger.server.forwarding import Original
from request_logger.server.http_metrics import HttpMetrics, NotedRegistry
from request_logger.server.request_body import BodyStream, WholeBody, read_body, small_body
from request_logger.server.responses import EMPTY, STATUS, Answer, answer_to, error_answer, unauthorized
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.telemetry import Telemetry

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# All others are counted as "other": label values are never freed, neither in memory nor in the metrics folder.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_OTHER_METHOD = "other"
# The label that Flask's exporter uses for a path without a route.
_NO_RULE = "None"


class EventsRoute:
    """A WSGI application that answers requests to / and passes all others to ``inner``. Thread-safe.

    ``request`` is the WSGI environ.
    """

    def __init__(
        self,
        settings: Settings,
        pipeline: IngestPipeline,
        inner: Wsgi,
        registry: NotedRegistry,
        *,
        access: Access,
        budget: Budget,
        replies: Replies,
        telemetry: Telemetry,
        forwarder: Forwarder | None,
        tracer: TracerLike | None = None,
    ) -> None:
        self._settings = settings
        self._forwarder = forwarder
        self._pipeline = pipeline
        self._access = access
        self._budget = budget
        self._replies = replies
        self._telemetry = telemetry
        self._batches = BatchRoute(settings, pipeline, budget, telemetry)
        self._inner = inner
        self._tracer = tracer
        # The exporter counts requests that Flask handles; this route counts its own in the same metrics.
        self._count = HttpMetrics(registry).count

    def __call__(self, request: dict[str, Any], start_response: Callable[..., Any], /) -> Iterable[bytes]:
        """Answer a request."""
        method = request["REQUEST_METHOD"]
        is_event = (request["PATH_INFO"] or "/") == EVENTS_PATH
        if method not in _METHODS:
            # Flask's exporter would count it by its method.
            answer = _wrong_method()
            self._count(_OTHER_METHOD, EVENTS_PATH if is_event else _NO_RULE, answer.status, 0.0)
        elif not is_event:
            # Flask's routes get a body that is whole, too.
            request["wsgi.input"], request["wsgi.input_terminated"] = WholeBody(request), True
            return self._inner(request, start_response)
        else:
            answer = self._answer(method, _headers_of(request), WholeBody(request))
        headers = [*answer.headers.items(), ("Content-Length", str(len(answer.body)))]
        start_response(STATUS[answer.status], headers)
        return (answer.body,)

    def post(self, headers: Mapping[str, str], raw: bytes) -> Answer:
        """Answer a POST request to / by its headers (lower-case names, latin-1 values) and its whole body."""
        return self._answer("POST", headers, raw)

    def reserve(self, size: int) -> Answer | None:
        """Reserve memory for a body of ``size`` bytes still to arrive; return the refusal when there is none."""
        try:
            self._budget.take(size)
        except (StoreUnavailableError, RequestTooLargeError) as error:
            return answer_to(error, self._telemetry)
        return None

    def release(self, size: int) -> None:
        """Release memory that `reserve` took."""
        self._budget.give_back(size)

    def _answer(self, method: str, headers: Mapping[str, str], body: bytes | WholeBody) -> Answer:
        started = time.perf_counter()
        recording = self._tracer.begin(headers) if self._tracer is not None and method == "POST" else None
        answer = self._uncounted(method, headers, body, recording)
        if recording is not None and self._tracer is not None:
            self._tracer.end(recording, answer.status)
        self._count(method, EVENTS_PATH, answer.status, time.perf_counter() - started)
        return answer

    def _uncounted(
        self, method: str, headers: Mapping[str, str], body: bytes | WholeBody, recording: Recording | None
    ) -> Answer:
        if method not in ("GET", "POST"):
            return _wrong_method()
        challenge = self._access.challenge(EVENTS_PATH, headers.get("authorization"))
        if challenge is not None:
            self._telemetry.turned_away("unauthorized", "missing or wrong token")
            return unauthorized(challenge)
        try:
            return self._take(headers, body, recording)
        except Exception as error:
            return answer_to(error, self._telemetry)

    def _take(self, headers: Mapping[str, str], body: bytes | WholeBody, recording: Recording | None) -> Answer:
        content_type = headers.get("content-type", "")
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type == "application/cloudevents-batch+json":
            started = time.monotonic()
            with self._budget.share() as share:
                return self._batches.take(self._small(body, share), started, self._forward_batch(headers))
        with Original(self._forwarder, self._budget, self._settings.forward_memory_bytes) as original:
            event = self._event(headers, body, content_type, media_type, original)
            if recording is not None:
                recording.received(event)
            event = self._pipeline.redact(event)
            stored = self._pipeline.submit(event, recording=recording)
            documents = self._pipeline.wait(event, stored, recording)
            original.forward(headers)
        reply = self._replies.answer(event, documents)
        return EMPTY if reply is None else Answer(200, reply.body, dict(reply.headers))

    def _event(
        self,
        headers: Mapping[str, str],
        body: bytes | WholeBody,
        content_type: str,
        media_type: str,
        original: Original,
    ) -> Event:
        """Return the admitted event of a request that isn't a batch."""
        if media_type == "application/cloudevents+json":
            with self._budget.share() as share:
                raw = self._small(body, share)
                original.keep(raw)
                return self._structured(raw, share)
        if isinstance(body, bytes):
            original.keep(body)
            kept = kept_body(body, content_type, self._settings)
            return self._pipeline.admit(from_headers(headers, kept, self._settings))
        # The body is read only if its headers are acceptable.
        event = self._pipeline.admit(from_headers(headers, Body(b""), self._settings))
        return with_body(event, self._read(original.copying(body), content_type))

    def _forward_batch(self, headers: Mapping[str, str]) -> Callable[[bytes | bytearray | None], None] | None:
        """Return the function that forwards the body of a batch; None without FORWARD_URL."""
        forwarder = self._forwarder
        if forwarder is None:
            return None

        def forward(body: bytes | bytearray | None) -> None:
            if body is None:
                forwarder.dropped()
            else:
                forwarder.offer(message_of(headers, body))

        return forward

    def _small(self, body: bytes | WholeBody, share: Share) -> bytes | bytearray:
        limit = self._settings.max_structured_bytes
        if not isinstance(body, bytes):
            return small_body(body, limit, "MAX_STRUCTURED_BYTES", share)
        if len(body) > limit:
            raise RequestTooLargeError("body: larger than MAX_STRUCTURED_BYTES allows")
        return body

    def _structured(self, raw: bytes | bytearray, share: Share) -> Event:
        share.take(parsed_bytes(raw))
        return self._pipeline.admit(from_structured(parse_structured(raw), self._settings))

    def _read(self, body: BodyStream, content_type: str) -> Body:
        with self._budget.share() as share:
            return read_body(body, content_type, self._settings, share)


def _wrong_method() -> Answer:
    return error_answer(405, "method: expected POST", {"Allow": "GET, POST"})


def _headers_of(request: Mapping[str, Any]) -> Mapping[str, str]:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in request.items() if name.startswith("HTTP_")}
    headers["content-type"] = request.get("CONTENT_TYPE", "")
    return headers
