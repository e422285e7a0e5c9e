"""``GET /v1/report`` and ``GET /ui``: the report over HTTP. They read, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, request

from request_logger.answers.errors import BadQuestionError
from request_logger.answers.report import Options, make_report
from request_logger.serialize import dumps
from request_logger.settings import Settings
from request_logger.store.asks import Asks
from request_logger.store.change import StoreUnavailableError

REPORT_PATH = "/v1/report"
PAGE_PATH = "/ui"
_PARAMETERS = ("target", "from", "to", "by", "window", "by_date")
_HEADERS = {
    # The page has no script, and what is in it must not become one.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def add_routes(app: Flask, engine: Asks, settings: Settings) -> None:
    """Add the routes; the page only where UI is set."""

    @app.get(REPORT_PATH)
    def report() -> Response:
        try:
            found = make_report(engine, settings, options_of(request.args), only_own=True)
        except BadQuestionError as error:
            return _json({"error": _problem(error)}, 400)
        except StoreUnavailableError as error:
            return _json({"error": str(error)}, 503)
        return _json(found, 200)

    if settings.ui:

        @app.get(PAGE_PATH)
        def ui() -> Response:
            # Whoever reads no page needs no templates.
            from request_logger.answers.page import error_page, page  # noqa: PLC0415

            form = {name: request.args.get(name, "") for name in _PARAMETERS}
            try:
                text, status = page(make_report(engine, settings, options_of(request.args), only_own=True), form), 200
            except BadQuestionError as error:
                text, status = error_page(_problem(error), form), 400
            except StoreUnavailableError as error:
                text, status = error_page(str(error), form), 503
            return Response(text, status, _HEADERS, mimetype="text/html")


def options_of(parameters: Mapping[str, str]) -> Options:
    """Read the options from a query string; an empty one is not given. Raises BadQuestionError for an unknown name."""
    for name in parameters:
        if name not in _PARAMETERS:
            raise BadQuestionError(f"expected parameters of {', '.join(_PARAMETERS)}, found {name!r}")
    given = {name: value.strip() for name, value in parameters.items()}
    return Options(
        given.get("target", ""),
        given.get("from") or None,
        given.get("to") or None,
        given.get("by", ""),
        given.get("window", ""),
        given.get("by_date") or "prediction",
    )


def _problem(error: BadQuestionError) -> str:
    """Say what is wrong; a parameter has the name of the command's option without its dashes."""
    return str(error).removeprefix("--").replace("by-date", "by_date", 1)


def _json(value: Any, status: int) -> Response:
    # What a sender wrote may be in it: it must be no markup, whatever a browser takes the answer for.
    body = dumps(value).replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026") + b"\n"
    return Response(body, status, {"X-Content-Type-Options": "nosniff"}, mimetype="application/json")
