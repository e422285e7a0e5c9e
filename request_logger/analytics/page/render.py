"""Renders the report page from the template, the plots and the formatted figures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from request_logger.analytics import (
    comparison_text,
    deployment_text,
    evaluation_tables,
    formatting,
    llm_tables,
    selection_tables,
)
from request_logger.analytics.drift import tables as drift_tables
from request_logger.analytics.maturity_text import delay_table, maturity_line
from request_logger.analytics.page.plots import of_drift, of_report, of_task
from request_logger.analytics.page.style import STYLE
from request_logger.analytics.slices import tables as slice_tables
from request_logger.store.excluded_indices import left_out_note

# Larger confusion matrices don't fit on the page.
_MOST_LABELS = 12


def page(report: dict[str, Any], form: Mapping[str, str] | None = None) -> str:
    """Return the HTML page of a report; with ``form`` (the options as text) it includes the form for another report."""
    tasks = [
        {
            **task,
            "plots": list(of_task(task, f"task{number}")),
            "matrix": _matrix(task.get("confusion_matrix", {})),
            "slice_table": _slices(task),
            "classes": sorted(task.get("per_class", {}).items(), key=lambda pair: -pair[1].get("support", 0)),
        }
        for number, task in enumerate(report["tasks"])
    ]
    reasons = [(problem["reason"], f"{problem['n']:,}") for problem in report.get("unscorable", [])]
    evaluations = [
        (evaluation_tables.heading(section), list(evaluation_tables.tables(section)))
        for section in report.get("evaluations", [])
    ]
    if "deployments" in report:
        rows = list(deployment_text.rows(report))
        evaluations.append(("Deployments", [evaluation_tables.Table("Deployments", deployment_text.HEADER, rows)]))
    if "answers" in report:
        evaluations.append((llm_tables.HEADING, list(llm_tables.answer_tables(report["answers"]))))
    drift = None
    if "drift" in report:
        found = report["drift"]
        drift = {
            "verdict": drift_tables.verdict(found),
            "notes": list(drift_tables.notes(found)),
            "plots": list(of_drift(found)),
        }
        evaluations.append((f"Drift: {drift_tables.head(found)}", list(drift_tables.tables(found))))
    return _template("report.html.jinja").render(
        report={**report, "notes": [*report.get("warnings", []), *report["notes"]]},
        tasks=tasks,
        evaluations=evaluations,
        selection=_selection(report),
        drift=drift,
        plots=list(of_report(report)),
        form=form,
        unscorable=reasons,
        delays=delay_table(report["delay_by_label"]) if "delay_by_label" in report else None,
        maturity=f"{maturity_line(report['maturity']).capitalize()}." if "maturity" in report else "",
    )


def comparison_page(found: dict[str, Any]) -> str:
    """Return the HTML page of a comparison."""
    return _template("compare.html.jinja").render(
        found=found,
        title=comparison_text.head(found),
        header=comparison_text.header(found),
        rows=list(comparison_text.rows(found)),
        notes=list(comparison_text.notes(found)),
        verdict=comparison_text.verdict_line(found["verdict"], (found["a"]["name"], found["b"]["name"])),
        left_out=left_out_note(found["left_out"]) if "left_out" in found else "",
    )


def drift_page(report: dict[str, Any]) -> str:
    """Return the HTML page of a drift report."""
    return _template("drift.html.jinja").render(
        title=drift_tables.head(report),
        verdict=drift_tables.verdict(report),
        plots=list(of_drift(report)),
        tables=list(drift_tables.tables(report)),
        notes=list(drift_tables.notes(report)),
    )


def error_page(problem: str, form: Mapping[str, str]) -> str:
    """Return the HTML page that shows an error in the options, with the form to correct them."""
    return _template("error.html.jinja").render(problem=problem, form=form)


def _slices(task: dict[str, Any]) -> dict[str, Any] | None:
    """Return the worst slices of a task as text: a reason, or what was looked at and a table; None without a search."""
    found = task.get("slices")
    if found is None:
        return None
    notes = found.get("notes", [])
    if "reason" in found:
        return {"summary": f"No slices: {found['reason']}.", "notes": notes, "rows": []}
    return {
        "summary": slice_tables.summary(found),
        "notes": notes,
        "header": slice_tables.header(found),
        "rows": list(slice_tables.rows(found)),
    }


def _selection(report: dict[str, Any]) -> dict[str, Any] | None:
    """Return the tables and the remarks on the selection of feedback; None without that section."""
    section = report.get("selection")
    if section is None:
        return None
    return {
        "tables": list(selection_tables.tables(section)),
        "remarks": list(selection_tables.remarks(section)),
        "comes_first": selection_tables.comes_first(section),
    }


def _matrix(matrix: dict[str, dict[str, int]]) -> dict[str, Any] | None:
    """Return the confusion matrix by row, each cell with its share of the row in tenths (for its shade), or None."""
    labels = sorted({*matrix, *(label for row in matrix.values() for label in row)})
    if not labels or len(labels) > _MOST_LABELS:
        return None
    rows = []
    for truth in labels:
        row = matrix.get(truth, {})
        total = sum(row.values()) or 1
        cells = [(row.get(predicted, 0), round(10 * row.get(predicted, 0) / total)) for predicted in labels]
        rows.append((truth, cells))
    return {"labels": labels, "rows": rows}


@lru_cache(maxsize=4)
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("request_logger.analytics.page", "templates"),
        # Enabled explicitly, since jinja's autoescape by name doesn't cover .jinja; document content is never markup.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    helpers = {
        name: getattr(formatting, name) for name in ("number", "interval", "percent", "duration", "words", "remarks")
    }
    environment.filters.update(helpers)
    environment.globals["plot_style"] = STYLE
    return environment.get_template(name)
