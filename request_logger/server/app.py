"""create_app(): routes, nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry
from prometheus_flask_exporter import PrometheusMetrics
from werkzeug.exceptions import HTTPException

from request_logger.common.json import dumps
from request_logger.ingest.access import FEEDBACK_PATH
from request_logger.ingest.pipeline import IngestPipeline
from request_logger.ingest.replies import metrics_of
from request_logger.server import worker_files
from request_logger.server.events_route import EventsRoute
from request_logger.server.feedback_route import feedback_event
from request_logger.server.metadata_route import metadata_answer
from request_logger.server.report_routes import add_routes
from request_logger.server.request_body import small_body
from request_logger.server.responses import Answer, answer_to, error_answer, unauthorized
from request_logger.server.workers_metrics import WorkersMetrics
from request_logger.settings import Settings
from request_logger.store.writing.bulk_tokens import BulkTokens


def create_app(
    settings: Settings | None = None, tokens: BulkTokens | None = None, is_stopping: Callable[[], bool] = lambda: False
) -> Flask:
    """Make the application; its writer thread starts here. The processes of one server share ``tokens``.

    ``is_stopping`` says that the server is about to end, and so is not ready any more. Raises SettingsError and what
    Chooser raises.
    """
    settings = settings or Settings.from_env()
    app = Flask("request_logger", static_folder=None)
    registry = CollectorRegistry()
    if folder := os.environ.get(worker_files.VARIABLE):
        WorkersMetrics(app, folder, registry)
    else:
        PrometheusMetrics(app, registry=registry, group_by="url_rule")
    logger = IngestPipeline(settings, registry, tokens)
    app.extensions["request_logger"] = logger

    @app.before_request
    def authenticate() -> Response | None:
        challenge = logger.access.challenge(request.path, request.headers.get("Authorization"))
        return None if challenge is None else _response(unauthorized(challenge))

    @app.post(FEEDBACK_PATH)
    def take_feedback() -> Response:
        body = request.environ["wsgi.input"]
        with logger.budget.share() as share:
            raw = bytes(small_body(body, settings.max_payload_bytes, "MAX_PAYLOAD_BYTES", share))
        event = logger.redact(logger.admit(feedback_event(raw, settings)))
        documents = logger.wait(event, logger.submit(event)) or {}
        return Response(dumps({"metrics": metrics_of(event, documents)}) + b"\n", mimetype="application/json")

    add_routes(app, settings)

    if logger.metadata.enabled:

        @app.route("/metadata", methods=["GET", "POST"])
        def metadata() -> Response:
            answer, status = metadata_answer(logger.metadata, request.args)
            return Response(dumps(answer) + b"\n", status, mimetype="application/json")

    @app.get("/healthz")
    def healthz() -> Response:
        if not logger.writer.is_alive:
            return _response(error_answer(503, "the writer of events is stuck or has ended"))
        return Response("ok\n", mimetype="text/plain")

    @app.get("/readyz")
    def readyz() -> Response:
        if is_stopping():
            return _response(error_answer(503, "the server is about to stop"))
        # With room in the spool it must go on getting events: taken out of its Service, it could not spool them.
        if logger.engine.ping() or (logger.spool is not None and logger.spool.has_room):
            return Response("ok\n", mimetype="text/plain")
        return _response(error_answer(503, f"the engine at {', '.join(logger.engine.urls)} does not answer"))

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        return _response(error_answer(error.code or 500, error.description or error.name))

    @app.errorhandler(Exception)
    def other_error(error: Exception) -> Response:
        return _response(answer_to(error, logger.telemetry))

    app.wsgi_app = EventsRoute(logger, app.wsgi_app, registry)  # type: ignore[method-assign,assignment]
    return app


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)
