"""Answers the reading routes: the report as JSON and as a page, the deployments, and the MetricsServer's counters.

It uses no web framework, since it runs in a separate process: see `report_process`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from request_logger.analytics.deployments import ListOptions, list_deployments
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.report import Options, make_report
from request_logger.analytics.thresholds.cells import Costs
from request_logger.metrics_server.exporter import CONTENT_TYPE, Exporter
from request_logger.server.report_process import DEPLOYMENTS_PATH, METRICS_PATH, PAGE_PATH, REPORT_PATH
from request_logger.server.responses import Answer, error_answer, json_answer
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine

log = logging.getLogger(__name__)

_PARAMETERS = ("target", "from", "to", "by", "window", "by_date", "mature", "against", "where", "cost")
_LIST_PARAMETERS = ("target", "from", "to", "where")
_HEADERS = {
    # The page has no script, and its content must not become one.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class ReportAnswers:
    """Answers requests with figures from the search engine. Not thread-safe: one request at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # The master process has logged the warnings about the settings.
        self._engine = SearchEngine(settings, warn=False)
        self._exporter = Exporter(self._engine, settings)

    def answer(self, path: str, parameters: Mapping[str, str]) -> Answer:
        """Return the answer to a GET request for one of the paths; never raises."""
        answers = {
            REPORT_PATH: self._report,
            DEPLOYMENTS_PATH: self._deployments,
            PAGE_PATH: self._page,
            METRICS_PATH: self._metrics,
        }
        try:
            return answers[path](parameters)
        except BadQueryError as error:
            return error_answer(400, _problem(error))
        except StoreUnavailableError as error:
            return error_answer(503, str(error))
        except Exception as error:
            log.error("%s could not be answered", path, exc_info=error)
            return error_answer(500, "internal error; see the log")

    def _metrics(self, parameters: Mapping[str, str]) -> Answer:
        return Answer(200, self._exporter.exposition(), {"Content-Type": CONTENT_TYPE})

    def _report(self, parameters: Mapping[str, str]) -> Answer:
        return json_answer(make_report(self._engine, self._settings, options_of(parameters), only_own=True), 200)

    def _deployments(self, parameters: Mapping[str, str]) -> Answer:
        given = _checked(parameters, _LIST_PARAMETERS)
        options = ListOptions(
            given.get("target", ""), given.get("from") or None, given.get("to") or None, _conditions(given)
        )
        return json_answer(list_deployments(self._engine, self._settings, options, only_own=True), 200)

    def _page(self, parameters: Mapping[str, str]) -> Answer:
        # Imported on first use: without page requests the templates and jinja aren't loaded.
        from request_logger.analytics.page import error_page, page  # noqa: PLC0415

        form = {name: parameters.get(name, "") for name in _PARAMETERS}
        try:
            found = make_report(self._engine, self._settings, options_of(parameters), only_own=True)
            text, status = page(found, form), 200
        except BadQueryError as error:
            text, status = error_page(_problem(error), form), 400
        except StoreUnavailableError as error:
            text, status = error_page(str(error), form), 503
        return Answer(status, text.encode(), {"Content-Type": "text/html; charset=utf-8", **_HEADERS})


def options_of(parameters: Mapping[str, str]) -> Options:
    """Return the options of a query string; an empty one counts as missing. Raises BadQueryError for unknown names."""
    given = _checked(parameters, _PARAMETERS)
    fields = [line.strip() for line in given.get("by", "").splitlines() if line.strip()]
    if len(fields) > 2:
        raise BadQueryError(f"by: expected one field or two, found {len(fields)}")
    by, across = [*fields, "", ""][:2]
    return Options(
        given.get("target", ""),
        given.get("from") or None,
        given.get("to") or None,
        by,
        given.get("window", ""),
        given.get("by_date") or "prediction",
        where=_conditions(given),
        mature=_flag(given.get("mature", "")),
        against=given.get("against", ""),
        costs=Costs.of(given["cost"]) if given.get("cost") else None,
        across=across,
    )


def _checked(parameters: Mapping[str, str], expected: Sequence[str]) -> dict[str, str]:
    """Return the values without blanks around them. Raises BadQueryError for an unknown name."""
    for name in parameters:
        if name not in expected:
            raise BadQueryError(f"expected parameters of {', '.join(expected)}, found {name!r}")
    return {name: value.strip() for name, value in parameters.items()}


def _conditions(given: Mapping[str, str]) -> tuple[str, ...]:
    """Return the conditions of ``where``, one per line."""
    return tuple(filter(None, (line.strip() for line in given.get("where", "").splitlines())))


def _flag(text: str) -> bool:
    if text not in ("", "true", "false"):
        raise BadQueryError(f"--mature: expected true or false, found {text!r}")
    return text == "true"


def _problem(error: BadQueryError) -> str:
    """Return the error text with the parameter's name instead of the command's option (``--by-date``)."""
    return str(error).removeprefix("--").replace("by-date", "by_date", 1)
