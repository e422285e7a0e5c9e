"""The WSGI application: builds the parts and gives each route those that it needs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from flask import Flask, Response, request
from prometheus_flask_exporter import PrometheusMetrics
from werkzeug.exceptions import HTTPException

from request_logger.composition import Parts, build
from request_logger.ingest.access import Access
from request_logger.otlp import Exported
from request_logger.server import (
    feedback_route,
    health_routes,
    marshal_route,
    metadata_route,
    report_routes,
    worker_files,
)
from request_logger.server.events_route import EventsRoute
from request_logger.server.http_metrics import NotedRegistry
from request_logger.server.responses import answer_to, as_response, error_answer, unauthorized
from request_logger.server.workers_metrics import WorkersFiles, WorkersMetrics
from request_logger.settings import Settings
from request_logger.store.writing.bulk_tokens import BulkTokens
from request_logger.telemetry import Telemetry

_PARTS = "request_logger"


def create_app(
    settings: Settings | None = None, tokens: BulkTokens | None = None, is_stopping: Callable[[], bool] = lambda: False
) -> Flask:
    """Make the application; its writer's threads start here. The processes of one server share ``tokens``.

    ``is_stopping`` says that the server is about to end, and so is not ready any more. Raises SettingsError,
    ScorerError and MetadataError.
    """
    settings = settings or Settings.from_env()
    app = Flask("request_logger", static_folder=None)
    registry = NotedRegistry()
    if folder := os.environ.get(worker_files.VARIABLE):
        WorkersMetrics(app, folder, registry)
        exported = Exported(WorkersFiles(folder).collect, Path(folder) / worker_files.OTLP_LOCK)
    else:
        PrometheusMetrics(app, registry=registry, group_by="url_rule")
        exported = Exported(registry.collect)
    parts = build(settings, registry, tokens, exported=exported)
    app.extensions[_PARTS] = parts
    _add_authentication(app, parts.access)
    _add_error_handlers(app, parts.telemetry)
    feedback_route.add_routes(
        app, settings, parts.pipeline, parts.budget, parts.telemetry, parts.forwarder, parts.tracer
    )
    marshal_route.add_routes(app, settings, parts.pipeline, parts.budget, parts.telemetry, parts.forwarder)
    reports = report_routes.add_routes(app, settings)
    if settings.ui:
        reports.start()
    health_routes.add_routes(app, settings, parts.engine, parts.writer, parts.spool, is_stopping)
    if parts.metadata.enabled:
        metadata_route.add_routes(app, parts.metadata)
    app.wsgi_app = EventsRoute(  # type: ignore[method-assign,assignment]
        settings,
        parts.pipeline,
        app.wsgi_app,
        registry,
        access=parts.access,
        budget=parts.budget,
        replies=parts.replies,
        telemetry=parts.telemetry,
        forwarder=parts.forwarder,
        tracer=parts.tracer,
    )
    return app


def close(app: object) -> None:
    """Finish what is under way in an application made by `create_app`; does nothing for any other."""
    parts: Parts | None = getattr(app, "extensions", {}).get(_PARTS)
    if parts is not None:
        parts.close()


def _add_authentication(app: Flask, access: Access) -> None:
    @app.before_request
    def authenticate() -> Response | None:
        challenge = access.challenge(request.path, request.headers.get("Authorization"))
        return None if challenge is None else as_response(unauthorized(challenge))


def _add_error_handlers(app: Flask, telemetry: Telemetry) -> None:
    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        return as_response(error_answer(error.code or 500, error.description or error.name))

    @app.errorhandler(Exception)
    def other_error(error: Exception) -> Response:
        return as_response(answer_to(error, telemetry))
