"""create_app(): routes and error answers, nothing else."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry
from prometheus_flask_exporter import PrometheusMetrics
from prometheus_flask_exporter.multiprocess import GunicornInternalPrometheusMetrics
from werkzeug.exceptions import HTTPException

from request_logger import events
from request_logger.access import EVENTS_PATH, Access, ForbiddenEventError
from request_logger.choosing import Chooser
from request_logger.documents import parts_of, refuse
from request_logger.logs import about
from request_logger.metadata import Schema, metadata_answer, metadata_source
from request_logger.recorder import record
from request_logger.redaction import Redactor
from request_logger.sampling import SAMPLED, sample
from request_logger.scoring import settler
from request_logger.serialize import dumps
from request_logger.settings import Settings
from request_logger.spool import Replayer, Spool
from request_logger.store.change import RejectedError, StoreUnavailableError
from request_logger.store.client import SearchEngine
from request_logger.store.writer import Limits, Writer
from request_logger.telemetry import Telemetry

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5
# A structured or batched request is parsed whole before its events' own sizes are known.
MAX_STRUCTURED_BYTES = 100 * 2**20
# What an event holds in memory beside its body, about.
EVENT_WEIGHT_BYTES = 1000
_CHUNK = 64 * 2**10


class RequestLogger:
    """What the routes share: settings, the store, and what is counted."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self.settings = settings
        self.telemetry = Telemetry(registry)
        self.access = Access(settings)
        self.redactor = Redactor(settings.redact, settings.redact_key)
        self.engine = SearchEngine(settings)
        self.metadata = metadata_source(settings, lambda what: self.telemetry.metadata.labels(what).inc())
        self.settle = settler(Chooser(settings.scorer, settings.scorers_config or None))
        self.writer = Writer(
            self.engine,
            refuse,
            self.telemetry,
            Limits(
                timeout_seconds=settings.store_timeout_seconds,
                max_pending_bytes=settings.max_pending_bytes,
                bulk_max_bytes=settings.bulk_max_bytes,
                cache_max_bytes=settings.cache_max_bytes,
            ),
        )
        self.spool: Spool | None = None
        self.replayer: Replayer | None = None
        # While the engine fails, one event in so many seconds tries it; the others are spooled at once.
        self._try_again_at = 0.0
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
        self.writer.close(timeout=20)
        if self.spool is not None:
            self.spool.close()

    def admit(self, event: events.Event) -> events.Event:
        """Give an event that may be stored. Raises ForbiddenEventError, and IgnoredEventError for one to leave out."""
        event = self.access.admit(event)
        sample(event, self.settings.sample_rate)
        return event

    def redact(self, event: events.Event) -> events.Event:
        """Give the event as it may be stored: once, before it goes anywhere, the spool included."""
        return self.redactor.redact(event, self._schema_of(event)) if self.redactor else event

    def submit(self, event: events.Event) -> Future[None]:
        """Queue an event. Without a spool, raises StoreUnavailableError where there is no room for it."""
        try:
            if self.spool is not None and self._is_failing(self.spool):
                raise StoreUnavailableError("the engine does not answer")
            return self._submit(event)
        except StoreUnavailableError as error:
            if self.spool is None:
                raise
            future: Future[None] = Future()
            future.set_exception(error)
            return future

    def _is_failing(self, spool: Spool) -> bool:
        if spool.is_empty or not spool.has_room:
            return False
        now = time.monotonic()
        if self.writer.down_for > 0 or now < self._try_again_at:
            return True
        if self._try_again_at:
            self._try_again_at = now + self.settings.store_timeout_seconds
        return False

    def _submit(self, event: events.Event) -> Future[None]:
        parts = parts_of(event, self._schema_of(event))
        self._count(event, parts[0].content)
        weight = event.body.size if event.body.raw is not None else 0
        future = self.writer.submit(record(event, parts, self.settle), weight + EVENT_WEIGHT_BYTES)
        future.add_done_callback(self._note)
        self.telemetry.pending_bytes.set(self.writer.pending_bytes)
        return future

    def _note(self, stored: Future[None]) -> None:
        if stored.exception() is None:
            self._try_again_at = 0.0

    def _count(self, event: events.Event, content: dict[str, Any]) -> None:
        if "undecodable" in content:
            self.telemetry.undecodable.labels(event.part).inc()
            self.telemetry.warn("undecodable", event.index, f"a {event.part} is stored as it came")
        if event.body.raw is None:
            self.telemetry.payload_dropped.inc()
            self.telemetry.warn("payload_dropped", event.index, f"a {event.part} is stored without its body")

    def _schema_of(self, event: events.Event) -> Schema | None:
        if event.part in ("feedback", "outlier") or event.body.raw is None:
            return None
        return self.metadata.schema_for(*event.owner)

    def wait(self, event: events.Event, stored: Future[None]) -> None:
        """Wait until an event is stored or spooled. Raises StoreUnavailableError and RejectedError."""
        try:
            try:
                stored.result(self.settings.store_timeout_seconds + 1)
            except FutureTimeoutError:
                raise StoreUnavailableError("the engine did not take it in time") from None
        except StoreUnavailableError:
            if self.spool is None:
                raise
            if time.monotonic() >= self._try_again_at:
                self._try_again_at = time.monotonic() + self.settings.store_timeout_seconds
            self.spool.append(event)
            self.telemetry.events.labels(event.part, "spooled").inc()
            return
        self.telemetry.events.labels(event.part, "stored").inc()
        if log.isEnabledFor(logging.DEBUG):
            log.debug("stored", extra=about(event))


def create_app(settings: Settings | None = None) -> Flask:
    """Make the application; its writer thread starts here. Raises SettingsError and what Chooser raises."""
    settings = settings or Settings.from_env()
    app = Flask("request_logger", static_folder=None)
    registry = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        GunicornInternalPrometheusMetrics(app, registry=registry, group_by="url_rule")
    else:
        PrometheusMetrics(app, registry=registry, group_by="url_rule")
    logger = RequestLogger(settings, registry)
    app.extensions["request_logger"] = logger

    @app.before_request
    def authenticate() -> Response | None:
        challenge = logger.access.challenge(request.path, request.headers.get("Authorization"))
        if challenge is None:
            return None
        if request.path == EVENTS_PATH:
            logger.telemetry.turned_away("unauthorized", "no or a wrong token")
        return _error(401, "Authorization: missing or wrong", {"WWW-Authenticate": challenge})

    @app.route(EVENTS_PATH, methods=["GET", "POST"])
    def take() -> Response:
        content_type = request.mimetype
        if content_type == "application/cloudevents-batch+json":
            return _take_batch(logger)
        if content_type == "application/cloudevents+json":
            value = events.parse_structured(_small_body(MAX_STRUCTURED_BYTES))
            event = logger.redact(logger.admit(events.from_structured(value, settings)))
        else:
            headers = {name.lower(): value for name, value in request.headers.items()}
            # A body is read only for an event that can be taken.
            event = logger.admit(events.from_headers(headers, events.Body(b""), settings))
            event = logger.redact(events.with_body(event, _read_body(settings.max_payload_bytes)))
        logger.wait(event, logger.submit(event))
        return Response(status=200)

    if logger.metadata.enabled:

        @app.route("/metadata", methods=["GET", "POST"])
        def metadata() -> Response:
            answer, status = metadata_answer(logger.metadata, request.args)
            return Response(dumps(answer) + b"\n", status, mimetype="application/json")

    @app.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @app.get("/readyz")
    def readyz() -> Response:
        # With room in the spool it must go on getting events: taken out of its Service, it could not spool them.
        if logger.engine.ping() or (logger.spool is not None and logger.spool.has_room):
            return Response("ok\n", mimetype="text/plain")
        return _error(503, f"the engine at {', '.join(logger.engine.urls)} does not answer")

    @app.errorhandler(events.BadEventError)
    def bad_event(error: Exception) -> Response:
        logger.telemetry.turned_away("bad", str(error))
        return _error(400, str(error))

    @app.errorhandler(events.IgnoredEventError)
    def ignored(error: events.IgnoredEventError) -> Response:
        logger.telemetry.events.labels("", "sampled" if error.reason == SAMPLED else "ignored").inc()
        return Response(status=200)

    @app.errorhandler(ForbiddenEventError)
    def forbidden(error: Exception) -> Response:
        logger.telemetry.turned_away("forbidden", str(error))
        return _error(403, str(error))

    @app.errorhandler(StoreUnavailableError)
    def unavailable(error: Exception) -> Response:
        logger.telemetry.turned_away("unavailable", str(error))
        return _error(503, str(error), {"Retry-After": str(RETRY_AFTER_SECONDS)})

    @app.errorhandler(RejectedError)
    def rejected(error: Exception) -> Response:
        logger.telemetry.events.labels("", "refused").inc()
        return _error(422, str(error))

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        return _error(error.code or 500, error.description or error.name)

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        log.exception("an event could not be handled")
        return _error(500, "internal error; see the log")

    return app


def _take_batch(logger: RequestLogger) -> Response:
    """Take a batched request: 200 and empty where all is stored, else what became of each event."""
    waiting: list[tuple[events.Event | None, Future[None] | None, tuple[int, str]]] = []
    for value in events.parse_batch(_small_body(MAX_STRUCTURED_BYTES)):
        try:
            event = logger.redact(logger.admit(events.from_structured(value, logger.settings)))
            waiting.append((event, logger.submit(event), (200, "")))
        except events.BadEventError as error:
            waiting.append((None, None, (400, str(error))))
        except ForbiddenEventError as error:
            logger.telemetry.turned_away("forbidden", str(error))
            waiting.append((None, None, (403, str(error))))
        except events.IgnoredEventError as error:
            logger.telemetry.events.labels("", "sampled" if error.reason == SAMPLED else "ignored").inc()
            waiting.append((None, None, (200, str(error))))
        except StoreUnavailableError as error:
            waiting.append((None, None, (503, str(error))))
    results: list[dict[str, Any]] = []
    worst = 200
    for sent, stored, known in waiting:
        status, text = known if sent is None or stored is None else _outcome(logger, sent, stored)
        results.append({"status": status, **({"error": text} if status != 200 else {})})
        worst = max(worst, status)
    if worst == 200:
        return Response(status=200)
    status = 503 if worst == 503 else 207
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else {}
    return _json({"events": results}, status, headers)


def _outcome(logger: RequestLogger, event: events.Event, stored: Future[None]) -> tuple[int, str]:
    try:
        logger.wait(event, stored)
    except StoreUnavailableError as error:
        return 503, str(error)
    except RejectedError as error:
        return 422, str(error)
    return 200, ""


def _read_body(limit: int) -> events.Body:
    """Read the body, no more of it into memory than ``limit`` bytes; beyond that only its size and SHA-256 are kept."""
    chunks: list[bytes] = []
    size = 0
    digest = None
    while chunk := request.stream.read(_CHUNK):
        size += len(chunk)
        if digest is None and size > limit:
            digest = hashlib.sha256(b"".join(chunks))
            chunks = []
        if digest is None:
            chunks.append(chunk)
        else:
            digest.update(chunk)
    if digest is not None:
        return events.Body(None, request.content_type, size, digest.hexdigest())
    return events.Body(b"".join(chunks), request.content_type, size)


def _small_body(limit: int) -> bytes:
    body = _read_body(limit)
    if body.raw is None:
        raise events.BadEventError(f"body: expected at most {limit} bytes, found {body.size}")
    return body.raw


def _error(status: int, text: str, headers: dict[str, Any] | None = None) -> Response:
    """Answer with one line of JSON."""
    return _json({"error": text}, status, headers)


def _json(value: Any, status: int, headers: dict[str, Any] | None = None) -> Response:
    # What a sender wrote may be in it: it must be no markup, whatever a browser takes the answer for.
    body = dumps(value).replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026") + b"\n"
    return Response(body, status, {"X-Content-Type-Options": "nosniff", **(headers or {})}, mimetype="application/json")
