"""create_app(): routes and error answers, nothing else."""

from __future__ import annotations

import hashlib
import logging
import os
from concurrent.futures import Future
from typing import Any

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry
from prometheus_flask_exporter import PrometheusMetrics
from prometheus_flask_exporter.multiprocess import GunicornInternalPrometheusMetrics
from werkzeug.exceptions import HTTPException

from request_logger import events
from request_logger.access import EVENTS_PATH, FEEDBACK_PATH, ForbiddenEventError
from request_logger.direct_feedback import feedback_event
from request_logger.exporter import CONTENT_TYPE
from request_logger.intake import RequestLogger
from request_logger.metadata import metadata_answer
from request_logger.replies import Documents, metrics_of
from request_logger.sampling import SAMPLED
from request_logger.serialize import dumps
from request_logger.settings import Settings
from request_logger.store.change import RejectedError, StoreUnavailableError

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5
# A structured or batched request is parsed whole before its events' own sizes are known.
MAX_STRUCTURED_BYTES = 100 * 2**20
_CHUNK = 64 * 2**10


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
        documents = logger.wait(event, logger.submit(event))
        answer = logger.replies.answer(event, documents)
        return Response(status=200) if answer is None else Response(answer.body, 200, answer.headers)

    @app.post(FEEDBACK_PATH)
    def take_feedback() -> Response:
        event = feedback_event(_small_body(settings.max_payload_bytes), settings)
        event = logger.redact(logger.admit(event))
        documents = logger.wait(event, logger.submit(event)) or {}
        return Response(dumps({"metrics": metrics_of(event, documents)}) + b"\n", mimetype="application/json")

    @app.get("/v1/metrics")
    def model_metrics() -> Response:
        try:
            return Response(logger.exporter.exposition(), content_type=CONTENT_TYPE)
        except StoreUnavailableError as error:
            return _error(503, str(error))

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

    _handle_errors(app, logger)
    return app


def _handle_errors(app: Flask, logger: RequestLogger) -> None:
    """Answer each error with its status and one line of JSON."""

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


def _take_batch(logger: RequestLogger) -> Response:
    """Take a batched request: 200 and empty where all is stored, else what became of each event."""
    waiting: list[tuple[events.Event | None, Future[Documents | None] | None, tuple[int, str]]] = []
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


def _outcome(logger: RequestLogger, event: events.Event, stored: Future[Documents | None]) -> tuple[int, str]:
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
