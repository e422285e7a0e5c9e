"""Renders the pages: the report, comparisons and drift as files, and the pages of the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from request_logger.analytics import comparison_text, deployment_text
from request_logger.analytics.drift import tables as drift_tables
from request_logger.analytics.page.content import content_of
from request_logger.analytics.page.environment import template
from request_logger.analytics.page.plots import of_drift
from request_logger.analytics.page.view import Link, Section, View
from request_logger.analytics.surface import Surface
from request_logger.analytics.wrong_table import wrong_table
from request_logger.store.excluded_indices import left_out_note

Report = dict[str, Any]
# Predictors to compare that a page suggests.
_MOST_SUGGESTED = 12
_TEMPLATES = {Section.DRIFT: "drifted"}


def page(report: Report) -> str:
    """Return the report as one HTML page."""
    return template("report").render(report=report, page=content_of(report))


def deployments_page(view: View, found: Report) -> str:
    """Return the list of deployments (`list_deployments`), each with a link to its page."""
    rows = list(deployment_text.rows(found))
    return template("deployments").render(
        view=view,
        found=found,
        header=deployment_text.HEADER,
        rows=rows,
        targets=[each["target"] for each in found["deployments"]],
        remarks=list(deployment_text.remarks(found)),
    )


def section_page(
    view: View,
    section: Section,
    report: Report,
    changes: Sequence[Report],
    *,
    wrong: Report | None = None,
    drift_problem: str = "",
) -> str:
    """Return a section of a deployment's pages.

    ``changes``: see `changes_of`. ``wrong``: a page of
    `wrong_predictions`. ``drift_problem``: why there is no drift.
    """
    return template(_TEMPLATES.get(section, section.value)).render(
        view=view,
        title=f"{view.get('target')}: {section}",
        report=report,
        page=content_of(report, view, section),
        changes=changes,
        wrong=wrong_table(wrong) if wrong else None,
        drift_problem=drift_problem,
    )


def comparison_page(found: Report) -> str:
    """Return the HTML page of a comparison."""
    return template("compare").render(**_comparison(found, Surface.TERMINAL))


def compare_form(view: View, deployments: Sequence[Report], problem: str = "") -> str:
    """Return the page that asks what to compare; it suggests predictors of one of the deployments.

    ``problem``: why there is no comparison of what the view names.
    """
    suggested = [
        Link(f"{each['target']}: {a} against {b}", view.compare(a, b, each["target"]))
        for each in deployments
        if each["target"]
        for a, b in combinations(each["predictors"], 2)
    ]
    known = {"suggested": suggested[:_MOST_SUGGESTED], "problem": problem, "found": None}
    return template("comparing").render(view=view, wrong=[], urls=[], **known)


def compare_page(view: View, found: Report, wrong: Mapping[str, Report]) -> str:
    """Return the page of a comparison; ``wrong`` has some wrong predictions of each side, by its name."""
    tables = [(name, wrong_table(each)) for name, each in wrong.items()]
    urls = [view.errors(each) for each in wrong.values()]
    return template("comparing").render(
        view=view, wrong=tables, urls=urls, suggested=[], problem="", **_comparison(found, Surface.SERVER)
    )


def _comparison(found: Report, surface: Surface) -> Report:
    return {
        "found": found,
        "title": comparison_text.head(found),
        "header": comparison_text.header(found),
        "rows": list(comparison_text.rows(found)),
        "class_header": comparison_text.CLASS_HEADER,
        "class_rows": list(comparison_text.class_rows(found)),
        "notes": list(comparison_text.notes(found, surface)),
        "verdict": comparison_text.verdict_line(found["verdict"], (found["a"]["name"], found["b"]["name"])),
        "left_out": left_out_note(found["left_out"]) if "left_out" in found else "",
    }


def drift_page(report: Report) -> str:
    """Return the HTML page of a drift report."""
    return template("drift").render(
        title=drift_tables.head(report),
        verdict=drift_tables.verdict(report),
        plots=list(of_drift(report)),
        tables=list(drift_tables.tables(report)),
        notes=list(drift_tables.notes(report)),
    )


def error_page(problem: str, view: View) -> str:
    """Return the HTML page that shows an error in the parameters, with the form to correct them."""
    return template("error").render(problem=problem, view=view)
