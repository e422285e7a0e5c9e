"""The routes that read, such as ``GET /v1/report`` and ``/ui``, answered by the report process."""

from __future__ import annotations

from flask import Flask, Response, request

from request_logger.server.report_process import (
    COMPARE_PAGE_PATH,
    DEPLOYMENTS_PATH,
    DOCUMENT_PATH,
    ERRORS_PATH,
    METRICS_PATH,
    PAGE_PATH,
    REPORT_PATH,
    ReportProcess,
)
from request_logger.server.responses import as_response
from request_logger.settings import Settings

_FIGURES = (REPORT_PATH, DEPLOYMENTS_PATH, METRICS_PATH)
_DOCUMENTS = (ERRORS_PATH, DOCUMENT_PATH)
_PAGES = (PAGE_PATH, COMPARE_PAGE_PATH)


def add_routes(app: Flask, settings: Settings) -> ReportProcess:
    """Add the routes, and return the process that will answer them.

    The pages exist only if UI is set, and the routes of whole documents only if it or READ_USER is. A server whose
    settings nobody changed shows no document to those who reach it.
    """
    process = ReportProcess(settings)

    def read() -> Response:
        # A parameter may be repeated, such as `where`: its values are joined to lines.
        parameters = {name: "\n".join(values) for name, values in request.args.to_dict(flat=False).items()}
        answer = process.ask(request.path, parameters)
        if request.path in _PAGES and "Retry-After" in answer.headers:
            # Nobody sits before a screen on a wall to load the page again.
            answer.headers["Refresh"] = answer.headers["Retry-After"]
        return as_response(answer)

    shown = (
        *_FIGURES,
        *(_DOCUMENTS if settings.ui or settings.read_user else ()),
        *(_PAGES if settings.ui else ()),
    )
    for path in shown:
        app.add_url_rule(path, view_func=read, methods=["GET"])
    return process
