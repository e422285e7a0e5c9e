"""``GET /healthz`` and ``GET /readyz``: what Kubernetes' probes ask."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response

from request_logger.server.responses import as_response, error_answer
from request_logger.settings import Settings
from request_logger.spool import Spool
from request_logger.store.client.client import SearchEngine
from request_logger.store.writing.writer import Writer


def add_routes(
    app: Flask,
    settings: Settings,
    engine: SearchEngine,
    writer: Writer,
    spool: Spool | None,
    is_stopping: Callable[[], bool],
) -> None:
    """Add the routes. ``is_stopping`` says that the server is about to end."""

    @app.get("/healthz")
    def healthz() -> Response:
        if not writer.is_alive:
            return as_response(error_answer(503, "the writer of events is stuck or has ended"))
        return Response("ok\n", mimetype="text/plain")

    @app.get("/readyz")
    def readyz() -> Response:
        if is_stopping():
            return as_response(error_answer(503, "the server is about to stop"))
        if spool is not None and settings.queues_all_events:
            # The engine matters only to what is on disk already.
            if spool.has_room:
                return Response("ok\n", mimetype="text/plain")
            return as_response(error_answer(503, "the spool is full"))
        # With room in the spool it must stay ready: a Service that takes it out sends it no events to spool.
        if engine.ping() or (spool is not None and spool.has_room):
            return Response("ok\n", mimetype="text/plain")
        return as_response(error_answer(503, f"the engine at {', '.join(engine.urls)} does not answer"))
