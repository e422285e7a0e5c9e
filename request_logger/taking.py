"""One HTTP request to /: an event, or a batch of them, read, stored and answered. Knows WSGI, and no framework.

Flask's own way costs more than all that is done with an event (`python -m bench.speed`), so that the events' route
stands before it; every other route is Flask's.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import IO, Any

from prometheus_client import CollectorRegistry
from werkzeug.wsgi import get_input_stream

from request_logger import events
from request_logger.access import EVENTS_PATH
from request_logger.http_answers import (
    EMPTY,
    RETRY_AFTER_SECONDS,
    STATUS,
    Answer,
    answer_to,
    error_answer,
    json_answer,
    unauthorized,
)
from request_logger.intake import RequestLogger
from request_logger.replies import Documents
from request_logger.store.promise import Promise

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# A structured or batched request is parsed whole before its events' own sizes are known.
MAX_STRUCTURED_BYTES = 100 * 2**20
_CHUNK = 64 * 2**10
# Anything else is counted as "other": a label value takes memory and room in the metrics folder for good.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_OTHER_METHOD = "other"
# What Flask's exporter writes for a path without a route.
_NO_RULE = "None"


class EventsRoute:
    """A WSGI application that takes the requests to /, and hands all others on to ``inner``.

    ``request`` is what WSGI calls the environ.
    """

    def __init__(self, logger: RequestLogger, inner: Wsgi, registry: CollectorRegistry) -> None:
        self._logger = logger
        self._inner = inner
        # The exporter counts what goes through Flask; here the same metrics count the rest.
        metrics = registry._names_to_collectors  # it has no public way to find them
        self._total: Any = metrics["flask_http_request_total"]
        self._seconds: Any = metrics["flask_http_request_duration_seconds"]
        self._counters = cache(self._find_counters)

    def __call__(self, request: dict[str, Any], start_response: Callable[..., Any], /) -> Iterable[bytes]:
        """Answer a request."""
        method = request["REQUEST_METHOD"]
        is_event = (request["PATH_INFO"] or "/") == EVENTS_PATH
        if method not in _METHODS:
            # Not even Flask's exporter must see it: that counts by method, too.
            answer = _wrong_method()
            self._count(_OTHER_METHOD, EVENTS_PATH if is_event else _NO_RULE, answer.status, 0.0)
        elif not is_event:
            return self._inner(request, start_response)
        else:
            answer = self._answer(method, _headers_of(request), get_input_stream(request))
        headers = [*answer.headers.items(), ("Content-Length", str(len(answer.body)))]
        start_response(STATUS[answer.status], headers)
        return (answer.body,)

    def post(self, headers: Mapping[str, str], raw: bytes) -> Answer:
        """Answer a POST request to / by its headers (lower-case names, latin-1 values) and its body."""
        return self._answer("POST", headers, io.BytesIO(raw))

    def _count(self, method: str, rule: str, status: int, seconds: float) -> None:
        total, duration = self._counters(method, rule, status)
        total.inc()
        duration.observe(seconds)

    def _find_counters(self, method: str, rule: str, status: int) -> tuple[Any, Any]:
        return self._total.labels(method, str(status)), self._seconds.labels(method, rule, str(status))

    def _answer(self, method: str, headers: Mapping[str, str], stream: IO[bytes]) -> Answer:
        started = time.perf_counter()
        answer = self._uncounted(method, headers, stream)
        self._count(method, EVENTS_PATH, answer.status, time.perf_counter() - started)
        return answer

    def _uncounted(self, method: str, headers: Mapping[str, str], stream: IO[bytes]) -> Answer:
        if method not in ("GET", "POST"):
            return _wrong_method()
        challenge = self._logger.access.challenge(EVENTS_PATH, headers.get("authorization"))
        if challenge is not None:
            self._logger.telemetry.turned_away("unauthorized", "no or a wrong token")
            return unauthorized(challenge)
        try:
            return _take(self._logger, headers, stream)
        except Exception as error:
            return answer_to(error, self._logger.telemetry)


def _wrong_method() -> Answer:
    return error_answer(405, "method: expected POST", {"Allow": "GET, POST"})


def _headers_of(request: Mapping[str, Any]) -> Mapping[str, str]:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in request.items() if name.startswith("HTTP_")}
    headers["content-type"] = request.get("CONTENT_TYPE", "")
    return headers


def _take(logger: RequestLogger, headers: Mapping[str, str], stream: IO[bytes]) -> Answer:
    content_type = headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/cloudevents-batch+json":
        return _take_batch(logger, small_body(stream, content_type, MAX_STRUCTURED_BYTES))
    if media_type == "application/cloudevents+json":
        value = events.parse_structured(small_body(stream, content_type, MAX_STRUCTURED_BYTES))
        event = logger.redact(logger.admit(events.from_structured(value, logger.settings)))
    else:
        # A body is read only for an event that can be taken.
        event = logger.admit(events.from_headers(headers, events.Body(b""), logger.settings))
        body = read_body(stream, content_type, logger.settings.max_payload_bytes)
        event = logger.redact(events.with_body(event, body))
    documents = logger.wait(event, logger.submit(event))
    reply = logger.replies.answer(event, documents)
    return EMPTY if reply is None else Answer(200, reply.body, dict(reply.headers))


def _take_batch(logger: RequestLogger, body: bytes) -> Answer:
    """Take a batched request: 200 and empty where all is stored, else what became of each event."""
    answers: list[Answer] = []
    waiting: list[tuple[int, events.Event, Promise[Documents | None]]] = []
    for value in events.parse_batch(body):
        answers.append(EMPTY)
        try:
            event = logger.redact(logger.admit(events.from_structured(value, logger.settings)))
            waiting.append((len(answers) - 1, event, logger.submit(event)))
        except Exception as error:
            answers[-1] = answer_to(error, logger.telemetry)
    results = logger.wait_all([(event, stored) for _, event, stored in waiting])
    for (position, *_), result in zip(waiting, results, strict=True):
        if isinstance(result, Exception):
            answers[position] = answer_to(result, logger.telemetry)
    return _summary(answers)


def _summary(answers: list[Answer]) -> Answer:
    if all(answer.status == 200 for answer in answers):
        return EMPTY
    results = [
        {"status": answer.status} if answer.status == 200 else {"status": answer.status, "error": answer.error}
        for answer in answers
    ]
    if any(answer.status == 503 for answer in answers):
        return json_answer({"events": results}, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})
    return json_answer({"events": results}, 207)


def read_body(stream: IO[bytes], content_type: str | None, limit: int) -> events.Body:
    """Read the body, no more of it into memory than ``limit`` bytes; beyond that only its size and SHA-256 are kept."""
    chunks: list[bytes] = []
    size = 0
    digest = None
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if digest is None and size > limit:
            digest = hashlib.sha256(b"".join(chunks))
            chunks = []
        if digest is None:
            chunks.append(chunk)
        else:
            digest.update(chunk)
    if digest is not None:
        return events.Body(None, content_type, size, digest.hexdigest())
    return events.Body(b"".join(chunks), content_type, size)


def small_body(stream: IO[bytes], content_type: str | None, limit: int) -> bytes:
    """Read a body whole. Raises BadEventError where it is over ``limit`` bytes."""
    body = read_body(stream, content_type, limit)
    if body.raw is None:
        raise events.BadEventError(f"body: expected at most {limit} bytes, found {body.size}")
    return body.raw
