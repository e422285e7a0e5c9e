"""``GET /v1/report``, ``/v1/deployments``, ``/v1/metrics`` and ``/ui``, answered by the report process."""

from __future__ import annotations

from flask import Flask, Response, request

from request_logger.server.report_process import DEPLOYMENTS_PATH, METRICS_PATH, PAGE_PATH, REPORT_PATH, ReportProcess
from request_logger.server.responses import as_response
from request_logger.settings import Settings


def add_routes(app: Flask, settings: Settings) -> None:
    """Add the routes; the page only if UI is set."""
    process = ReportProcess(settings)

    def read() -> Response:
        # A parameter may be repeated, such as `where`: its values are joined to lines.
        parameters = {name: "\n".join(values) for name, values in request.args.to_dict(flat=False).items()}
        return as_response(process.ask(request.path, parameters))

    for path in (REPORT_PATH, DEPLOYMENTS_PATH, METRICS_PATH, *([PAGE_PATH] if settings.ui else [])):
        app.add_url_rule(path, view_func=read, methods=["GET"])
