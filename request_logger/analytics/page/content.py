"""The contents of a report as the templates show them: plots, tables as text, sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from request_logger.analytics import deployment_text, evaluation_tables, llm_tables, selection_tables
from request_logger.analytics.drift import tables as drift_tables
from request_logger.analytics.formatting import interval, number, words
from request_logger.analytics.maturity_text import delay_table, maturity_line
from request_logger.analytics.page.matrix import matrix_of
from request_logger.analytics.page.plots import of_drift, of_report, of_task
from request_logger.analytics.page.view import Section, View
from request_logger.analytics.slices import tables as slice_tables

Report = dict[str, Any]
_CLASS_HEADER = ("class", "precision", "recall", "F1", "support")
_CLASS_PARTS = ("precision", "recall", "f1", "support")


# The parts of a task whose pictures a section has; the section Quality has those of all others.
_PLOTTED = {
    Section.CLASSES: frozenset({"confusion_matrix", "over_time_by_class"}),
    Section.SLICES: frozenset({"slices"}),
}
_ELSEWHERE = frozenset[str]().union(*_PLOTTED.values())
# What every picture of a task may need.
_ALWAYS = frozenset({"scorer", "documents", "shown", "metrics", "reason"})


def content_of(report: Report, view: View | None = None, section: Section | None = None) -> Report:
    """Return what the templates show of a report; what it doesn't have is empty.

    ``view``: that of a page of the server, whose ``section`` has only the plots that belong to it.
    """
    tasks = [_task(task, f"task{number}", view, section) for number, task in enumerate(report["tasks"])]
    evaluations = [
        (evaluation_tables.heading(section), list(evaluation_tables.tables(section)))
        for section in report.get("evaluations", [])
    ]
    if "deployments" in report:
        rows = list(deployment_text.rows(report))
        evaluations.append(("Deployments", [evaluation_tables.Table("Deployments", deployment_text.HEADER, rows)]))
    if "answers" in report:
        evaluations.append((llm_tables.HEADING, list(llm_tables.answer_tables(report["answers"]))))
    return {
        "head": head(report),
        "is_empty": not report["coverage"]["predictions"] and not tasks and not evaluations,
        "tasks": tasks,
        "metric_names": list(dict(_metric_names(report)).items()) if section is Section.QUALITY else [],
        "evaluations": evaluations,
        "selection": _selection(report),
        "plots": list(of_report(report)) if section in (None, Section.FEEDBACK) else [],
        "unscorable": [(problem["reason"], f"{problem['n']:,}") for problem in report.get("unscorable", [])],
        "delays": delay_table(report["delay_by_label"]) if "delay_by_label" in report else None,
        "maturity": f"{maturity_line(report['maturity']).capitalize()}." if "maturity" in report else "",
        "drift": _drift(report.get("drift")),
    }


def head(report: Mapping[str, Any]) -> str:
    """Return what a report is about, as one line."""
    span = [f"{word} {report[word]}" for word in ("from", "to") if word in report]
    what = [report["indices"], *span, *report.get("where", [])]
    return f"{', '.join(what)}, by the date of the {report['by_date']}; made at {report['made_at']}"


def _metric_names(report: Report) -> Iterator[tuple[str, str]]:
    for task in report["tasks"]:
        for metric in task.get("metrics", []):
            yield metric["name"], words(metric["name"])


def _plotted(task: Report, section: Section | None) -> Report:
    """Return a task with what the pictures of a section are drawn from."""
    if section is None:
        return task
    if section is Section.QUALITY:
        return {name: value for name, value in task.items() if name not in _ELSEWHERE}
    wanted = _PLOTTED.get(section, frozenset()) | _ALWAYS
    return {name: value for name, value in task.items() if name in wanted}


def _task(task: Report, key: str, view: View | None, section: Section | None) -> Report:
    def cell(truth: str, answer: str) -> str:
        assert view is not None
        return view.section(Section.ERRORS, {"truth": truth, "answer": answer, "scorer": task["scorer"]})

    found = task.get("per_class", {})
    classes = sorted(found.items(), key=lambda pair: (-pair[1].get("support", 0), pair[0]))
    counts = task.get("confusion_matrix", {})
    return {
        **task,
        "plots": list(of_task(_plotted(task, section), key, None if view is None else cell)),
        "matrix": matrix_of(counts),
        "matrix_rows": [
            (truth, answer, count, count / (sum(row.values()) or 1))
            for truth, row in sorted(counts.items())
            for answer, count in sorted(row.items())
        ],
        "slice_table": _slices(task),
        "classes": classes,
        "class_header": [*_CLASS_HEADER, *(f"{part} {end}" for part in _CLASS_HEADER[1:4] for end in ("low", "high"))],
        "class_rows": [(label, *map(row.get, _CLASS_PARTS), *_limits(row)) for label, row in classes],
        "metric_header": ("metric", "value", "low", "high", "best constant", "n"),
        "metric_rows": [
            (each["name"], *map(each.get, ("value", "low", "high", "baseline", "n")))
            for each in task.get("metrics", [])
        ],
        **_split(task),
    }


def _limits(row: Report) -> Iterator[float | None]:
    for part in _CLASS_PARTS[:3]:
        yield from row.get("intervals", {}).get(part, (None, None))


def _split(task: Report) -> Report:
    if "by" not in task:
        return {}
    first, *others = task["shown"]
    rows = []
    for part in task["by"].get("parts", []):
        found = {each["name"]: each for each in part.get("metrics", [])}
        values = [number(found[name]["value"]) if name in found else "-" for name in (first, *others)]
        rows.append((part["value"], values[0], interval(found.get(first, {})), *values[1:], f"{part['n']:,}"))
    header = (task["by"]["name"], words(first), "95 % interval", *map(words, others), "n")
    return {"by_header": header, "by_rows": rows}


def _slices(task: Report) -> Report | None:
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


def _selection(report: Report) -> Report | None:
    """Return the tables and the remarks on the selection of feedback; None without that section."""
    section = report.get("selection")
    if section is None:
        return None
    return {
        "tables": list(selection_tables.tables(section)),
        "remarks": list(selection_tables.remarks(section)),
        "comes_first": selection_tables.comes_first(section),
    }


def _drift(found: Report | None) -> Report | None:
    """Return the drift as text and plots; None without that section."""
    if found is None:
        return None
    return {
        "head": drift_tables.head(found),
        "verdict": drift_tables.verdict(found),
        "plots": list(of_drift(found)),
        "tables": list(drift_tables.tables(found)),
        "notes": list(drift_tables.notes(found)),
    }
