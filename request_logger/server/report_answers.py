"""Answers the reading routes: reports, deployments and documents as JSON, the pages, and the MetricsServer's counters.

It uses no web framework, since it runs in a separate process: see `report_process`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from request_logger.analytics.deployments import list_deployments
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.report import make_report
from request_logger.analytics.stored_document import NoDocumentError, stored_document
from request_logger.analytics.wrong_predictions import wrong_predictions
from request_logger.metrics_server.exporter import CONTENT_TYPE, Exporter
from request_logger.server import report_parameters
from request_logger.server.answer_cache import AnswerCache
from request_logger.server.background import Background
from request_logger.server.gentle_engine import GentleEngine
from request_logger.server.report_process import (
    COMPARE_PAGE_PATH,
    DEPLOYMENTS_PATH,
    DOCUMENT_PATH,
    ERRORS_PATH,
    METRICS_PATH,
    PAGE_PATH,
    REPORT_PATH,
)
from request_logger.server.responses import Answer, error_answer, json_answer
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine

if TYPE_CHECKING:
    from request_logger.server.pages import Pages

log = logging.getLogger(__name__)

# Their answers may come from the cache, without waiting for anything.
_CACHED = (PAGE_PATH, COMPARE_PAGE_PATH)


class ReportAnswers:
    """Answers requests with figures from the search engine. Not thread-safe: one request at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # The master process has logged the warnings about the settings.
        self._engine = SearchEngine(settings, warn=False)
        self._exporter = Exporter(self._engine, settings)
        self._cache = AnswerCache(Background())
        # Held by what a reader waits for.
        self._turn = threading.Lock()

    def answer(self, path: str, parameters: Mapping[str, str]) -> Answer:
        """Return the answer to a GET request for one of the paths; never raises."""
        answers = {
            REPORT_PATH: self._report,
            DEPLOYMENTS_PATH: self._deployments,
            ERRORS_PATH: self._errors,
            DOCUMENT_PATH: self._document,
            PAGE_PATH: self._page,
            COMPARE_PAGE_PATH: self._compare_page,
            METRICS_PATH: self._metrics,
        }
        try:
            return answers[path](parameters) if path in _CACHED else self._in_turn(answers[path])(parameters)
        except BadQueryError as error:
            return error_answer(400, report_parameters.problem(error))
        except NoDocumentError as error:
            return error_answer(404, str(error))
        except StoreUnavailableError as error:
            return error_answer(503, str(error))
        except Exception as error:
            log.error("%s could not be answered", path, exc_info=error)
            return error_answer(500, "internal error; see the log")

    def load_pages(self) -> None:
        """Load what the pages need before the first view of one."""
        _ = self._pages

    def _metrics(self, parameters: Mapping[str, str]) -> Answer:
        return Answer(200, self._exporter.exposition(), {"Content-Type": CONTENT_TYPE})

    def _report(self, parameters: Mapping[str, str]) -> Answer:
        options = report_parameters.report_options(report_parameters.checked(parameters, report_parameters.REPORT))
        return json_answer(make_report(self._engine, self._settings, options, only_own=True), 200)

    def _deployments(self, parameters: Mapping[str, str]) -> Answer:
        options = report_parameters.list_options(report_parameters.checked(parameters, report_parameters.LIST))
        return json_answer(list_deployments(self._engine, self._settings, options, only_own=True), 200)

    def _errors(self, parameters: Mapping[str, str]) -> Answer:
        options = report_parameters.wrong_options(report_parameters.checked(parameters, report_parameters.ERRORS))
        return json_answer(wrong_predictions(self._engine, self._settings, options, only_own=True), 200)

    def _document(self, parameters: Mapping[str, str]) -> Answer:
        given = report_parameters.checked(parameters, report_parameters.DOCUMENT)
        document = stored_document(self._engine, self._settings, given.get("index", ""), given.get("id", ""))
        return json_answer(document, 200, {"Cache-Control": "no-store"})

    def _page(self, parameters: Mapping[str, str]) -> Answer:
        return self._cache.answer(PAGE_PATH, parameters, self._in_turn(self._pages.main), self._renewed_pages.main)

    def _compare_page(self, parameters: Mapping[str, str]) -> Answer:
        made, renewed = self._in_turn(self._pages.compare), self._renewed_pages.compare
        return self._cache.answer(COMPARE_PAGE_PATH, parameters, made, renewed)

    def _in_turn(self, make: Callable[[Mapping[str, str]], Answer]) -> Callable[[Mapping[str, str]], Answer]:
        """Return the function that makes an answer while no page is renewed."""

        def made(parameters: Mapping[str, str]) -> Answer:
            with self._turn:
                return make(parameters)

        return made

    @cached_property
    def _pages(self) -> Pages:
        # Imported on first use: without page requests the templates and jinja aren't loaded.
        from request_logger.server.pages import Pages  # noqa: PLC0415

        return Pages(self._engine, self._settings)

    @cached_property
    def _renewed_pages(self) -> Pages:
        from request_logger.server.pages import Pages  # noqa: PLC0415

        return Pages(GentleEngine(self._engine, self._turn), self._settings)
