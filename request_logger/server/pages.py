"""The pages of the server: the list of deployments, the sections of a deployment, and the comparison of two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from request_logger.analytics.change import changes_of
from request_logger.analytics.compare import compare
from request_logger.analytics.compared_errors import compared_errors
from request_logger.analytics.deployments import ListOptions, list_deployments
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.page import compare_form, compare_page, deployments_page, error_page, section_page
from request_logger.analytics.page.view import Section, View
from request_logger.analytics.report import Options, drift_of, make_report
from request_logger.analytics.report_parts import Part
from request_logger.analytics.scope import find_scope
from request_logger.analytics.windows import Against
from request_logger.analytics.wrong_predictions import wrong_predictions
from request_logger.common.times import utc_text
from request_logger.dashboards.kibana import PATTERN
from request_logger.server import report_parameters
from request_logger.server.asked_once import AskedOnce
from request_logger.server.responses import Answer
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.ports import EngineReader

Report = dict[str, Any]
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    # The page has no script, and its content must not become one.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
# What a section computes in addition to the counts and the headline metrics.
_PARTS = {
    Section.QUALITY: frozenset({Part.METRICS, Part.CURVES}),
    Section.CLASSES: frozenset({Part.CLASSES}),
    Section.FEEDBACK: frozenset({Part.FEEDBACK}),
}
# Below a comparison, as an impression: the rest are in the section Errors.
_MOST_WRONG = 5


class Pages:
    """Renders pages with figures of the logger's own indices."""

    def __init__(self, engine: EngineReader, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        url = settings.dashboards_url.rstrip("/")
        self._document = f"{url}/app/discover#/doc/{PATTERN}/" if url else ""

    def main(self, parameters: Mapping[str, str]) -> Answer:
        """Return the page of a deployment, or without a target the list of deployments."""
        return self._page(parameters, "", _Making.main, error_page)

    def compare(self, parameters: Mapping[str, str]) -> Answer:
        """Return the page of a comparison, or the form for one."""
        return self._page(parameters, "../", _Making.compare, _compare_error)

    def _page(
        self,
        parameters: Mapping[str, str],
        up: str,
        make: Callable[[_Making, View], str],
        show: Callable[[str, View], str],
    ) -> Answer:
        given = {name: value.strip() for name, value in parameters.items()}
        view = View(given, up, self._document, utc_text(datetime.now(UTC), "seconds"))
        try:
            report_parameters.check_refresh(view.parameters)
            text, status = make(_Making(AskedOnce(self._engine), self._settings), view), 200
        except BadQueryError as error:
            # Without `refresh`, an invalid value of which could be the error.
            text, status = show(report_parameters.problem(error), view.without("refresh")), 400
        except StoreUnavailableError as error:
            text, status = show(str(error), view), 503
        return Answer(status, text.encode(), _HEADERS)


@dataclass(frozen=True, slots=True)
class _Making:
    """Makes one page."""

    engine: EngineReader
    settings: Settings

    def main(self, view: View) -> str:
        """Return the page of a deployment, or the list of them. Raises BadQueryError, StoreUnavailableError."""
        given = report_parameters.checked(view.parameters, report_parameters.PAGE)
        # What a link from the list would pass on is an error there, too.
        report_parameters.report_options(given)
        if not given.get("target"):
            options = report_parameters.list_options(given)
            return deployments_page(view, list_deployments(self.engine, self.settings, options, only_own=True))
        section = given.get("section") or Section.QUALITY
        if section not in list(Section):
            raise BadQueryError(f"--section: expected one of {', '.join(Section)}, found {section!r}")
        return self._section(view, given, Section(section))

    def _section(self, view: View, given: Mapping[str, str], section: Section) -> str:
        options = report_parameters.report_options(given)
        # Without a start nothing is known to be earlier; the reference data of a deployment may be.
        against = options.against or (Against.PREVIOUS if options.start else Against.REFERENCE)
        parts = _PARTS.get(section, frozenset())
        options = replace(options, against="", parts=parts, slices=section is Section.SLICES)
        report = make_report(self.engine, self.settings, options, only_own=True)
        if "deployments" in report:
            return deployments_page(view, report)
        drift_problem = ""
        if section is Section.DRIFT:
            try:
                report["drift"] = self._drift(replace(options, against=against))
            except BadQueryError as error:
                if given.get("against"):
                    raise
                drift_problem = f"{report_parameters.problem(error).capitalize()}."
        wrong = None
        if section is Section.ERRORS:
            asked = report_parameters.wrong_options(given)
            wrong = wrong_predictions(self.engine, self.settings, asked, only_own=True)
        changes = changes_of(self.engine, self.settings, options, only_own=True)
        return section_page(view, section, report, changes, wrong=wrong, drift_problem=drift_problem)

    def _drift(self, options: Options) -> Report:
        chosen = options.target, options.start, options.end, options.by_date
        return drift_of(
            self.engine, self.settings, find_scope(self.engine, self.settings, *chosen, only_own=True), options
        )

    def compare(self, view: View) -> str:
        """Return the page of a comparison, or the form for one. Raises as `main` does."""
        given = report_parameters.checked(view.parameters, report_parameters.COMPARE)
        asked = report_parameters.comparison_options(given)
        if not (asked.a and asked.b):
            chosen = ListOptions(asked.target, asked.start, asked.end, asked.where, asked.surface)
            known = list_deployments(self.engine, self.settings, chosen, only_own=True)
            return compare_form(view, known["deployments"])
        found = compare(self.engine, self.settings, asked, only_own=True)
        wrong = compared_errors(self.engine, self.settings, asked, found, _MOST_WRONG, only_own=True)
        return compare_page(view, found, wrong)


def _compare_error(problem: str, view: View) -> str:
    return compare_form(view, [], problem)
