"""The report as lines of text: short by default, in full if asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum
from typing import Any

from request_logger.analytics import evaluation_tables, llm_tables, selection_tables
from request_logger.analytics.deployment_text import head
from request_logger.analytics.drift import tables as drift_tables
from request_logger.analytics.formatting import duration, interval, number, percent, remarks, words
from request_logger.analytics.maturity_text import delay_table, maturity_line, size_of_window
from request_logger.analytics.thresholds.text import sentences
from request_logger.commands.slice_text import slice_lines
from request_logger.commands.styles import heading, note, warning
from request_logger.commands.text_table import table

Report = dict[str, Any]

# Rows of the tables by class: those of the short report fit on one screen together with the rest.
_MOST_CLASSES = 20
_MOST_CLASSES_IN_SHORT = 10
_MOST_IN_MATRIX = 10


class Part(StrEnum):
    """What the short report leaves out, in the words of its last line."""

    METRICS = "more metrics"
    MATRIX = "the confusion matrix"
    THRESHOLDS = "thresholds"
    OVER_TIME = "the figures over time"
    SELECTION = "the selection of feedback"
    DELAYS = "the delays of feedback"


SHORT: Collection[Part] = frozenset()
ALL: Collection[Part] = frozenset(Part)


def lines(report: Report, parts: Collection[Part] = ALL) -> Iterator[str]:
    """Yield the report as lines of text; ``parts`` are added to those that are always there."""
    yield from _head(report, parts)
    has_first = "selection" in report and selection_tables.comes_first(report["selection"])
    selection = list(_selection(report)) if has_first or Part.SELECTION in parts else []
    yield from selection if has_first else ()
    for task in report["tasks"]:
        yield ""
        yield heading(_title(task))
        if "reason" in task:
            yield f"No figures: {task['reason']}."
        yield from _metrics(task, parts)
        yield from _classes(task, parts)
        yield from _matrix(task) if Part.MATRIX in parts else ()
        yield from _thresholds(task) if Part.THRESHOLDS in parts else ()
        yield from _over_time(task) if Part.OVER_TIME in parts else ()
        yield from _by(task)
        yield from _slices(task)
    yield from () if has_first else selection
    yield from _evaluations(report)
    yield from _answers(report)
    if "drift" in report:
        found = report["drift"]
        yield from _section(f"drift: {drift_tables.head(found)}", drift_tables.tables(found))
        yield drift_tables.verdict(found)
        yield from map(note, drift_tables.notes(found))
    for each in report["notes"]:
        yield ""
        yield note(each)
    left = [part for part in _present(report) if part not in parts]
    if left:
        yield ""
        yield f"--all adds {', '.join(left)}; --html FILE writes a page with plots, --json prints everything."


def _present(report: Report) -> Iterator[Part]:
    """Yield the parts that a report has and the short one leaves out."""
    tasks = report["tasks"]
    if any(len(task.get("metrics", ())) > len(_headlines(task)) for task in tasks):
        yield Part.METRICS
    if any(_labels(task) for task in tasks):
        yield Part.MATRIX
    if any("thresholds" in task for task in tasks):
        yield Part.THRESHOLDS
    if any("over_time" in task for task in tasks):
        yield Part.OVER_TIME
    if "selection" in report and not selection_tables.comes_first(report["selection"]):
        yield Part.SELECTION
    if "delay_by_label" in report:
        yield Part.DELAYS


def _title(task: Report) -> str:
    title = f"{task['scorer']}: {task['documents']:,} scored"
    return f"{title}, the positive class is {task['positive_class']}" if "positive_class" in task else title


def _selection(report: Report) -> Iterator[str]:
    if "selection" in report:
        yield from _section(selection_tables.HEADING, selection_tables.tables(report["selection"]))
        yield from selection_tables.remarks(report["selection"])


def _evaluations(report: Report) -> Iterator[str]:
    for section in report.get("evaluations", []):
        yield from _section(evaluation_tables.heading(section), evaluation_tables.tables(section))


def _answers(report: Report) -> Iterator[str]:
    if "answers" not in report:
        return
    yield from _section(llm_tables.HEADING, llm_tables.answer_tables(report["answers"]))
    if report["answers"].get("without_price"):
        yield f"without a price: {', '.join(report['answers']['without_price'])}"


def _section(title: str, tables: Iterable[evaluation_tables.Table]) -> Iterator[str]:
    yield ""
    yield heading(title)
    for position, found in enumerate(tables):
        if position:
            yield ""
        yield table(found.header, found.rows)


def _head(report: Report, parts: Collection[Part]) -> Iterator[str]:
    yield from map(warning, report.get("warnings", ()))
    yield heading(head(report))
    counts = report["coverage"]
    if not counts["predictions"] and not report["tasks"]:
        similar = f" Did you mean {' or '.join(report['similar'])}?" if "similar" in report else ""
        yield f"No predictions.{similar}"
        if counts["feedback_only"]:
            yield f"{counts['feedback_only']:,} feedback without a prediction"
        return
    yield (
        f"{counts['predictions']:,} predictions, {counts['with_feedback']:,} with feedback"
        f" ({percent(counts.get('share'))}), {counts['scored']:,} scored: {counts['by_truth']:,} by a truth,"
        f" {counts['by_reward']:,} by a reward alone"
    )
    if counts["feedback_only"]:
        yield f"{counts['feedback_only']:,} feedback without a prediction"
    if counts["failed"]:
        yield f"{counts['failed']:,} failed requests, which are not counted as predictions"
    if "delay" in report:
        late = report["delay"]
        half, most = (duration(late["quantiles"][key]) for key in ("0.5", "0.9"))
        yield f"feedback arrives within {half} (median), {most} (90 %); mean {duration(late['mean'])}"
    if "maturity" in report and Part.DELAYS in parts:
        yield maturity_line(report["maturity"])
    for problem in report.get("unscorable", []):
        yield f"{problem['n']:,} can't be scored: {problem['reason']}"
    if "delay_by_label" in report and Part.DELAYS in parts:
        found = delay_table(report["delay_by_label"])
        yield ""
        yield table(found.header, found.rows)


def _metrics(task: Report, parts: Collection[Part]) -> Iterator[str]:
    chosen = task.get("metrics", []) if Part.METRICS in parts else _headlines(task)
    rows = [
        [words(found["name"]), number(found["value"]), interval(found), number(found.get("baseline")), _size(found)]
        for found in chosen
    ]
    if rows:
        yield table(["metric", "value", "95 % interval", "best constant", "n"], rows)
        yield from remarks({"metrics": chosen})


def _headlines(task: Report) -> list[Report]:
    """Return the few metrics of the short report: those that tables by segment show, too."""
    return [found for found in task.get("metrics", []) if found["name"] in task["shown"]]


def _size(found: Report) -> str:
    return f"{found['n']:,}" if "n" in found else "-"


def _classes(task: Report, parts: Collection[Part]) -> Iterator[str]:
    found: dict[str, Any] = task.get("per_class", {})
    most = _MOST_CLASSES if Part.METRICS in parts else _MOST_CLASSES_IN_SHORT
    rows = []
    for label, row in sorted(found.items(), key=lambda pair: -pair[1].get("support", 0))[:most]:
        values = [_with_interval(row, part) for part in ("precision", "recall", "f1")]
        rows.append([label, *values, number(row.get("support"))])
    if rows:
        yield ""
        yield table(["class", "precision", "recall", "F1", "support"], rows)
        if len(found) > most:
            yield f"  and {len(found) - most} rarer classes: --json has them"


def _with_interval(row: Report, part: str) -> str:
    known = row.get("intervals", {}).get(part)
    return number(row.get(part)) + (f" ({number(known[0])} to {number(known[1])})" if known else "")


def _matrix(task: Report) -> Iterator[str]:
    matrix: dict[str, dict[str, int]] = task.get("confusion_matrix", {})
    labels = _labels(task)
    if not labels:
        return
    yield ""
    rows = [[truth, *(number(matrix.get(truth, {}).get(said, 0)) for said in labels)] for truth in labels]
    yield table(["truth \\ prediction", *labels], rows)


def _labels(task: Report) -> list[str]:
    """Return the labels of the confusion matrix; empty where it is too large for a terminal."""
    matrix: dict[str, dict[str, int]] = task.get("confusion_matrix", {})
    labels = sorted({*matrix, *(label for row in matrix.values() for label in row)})
    return labels if len(labels) <= _MOST_IN_MATRIX else []


def _over_time(task: Report) -> Iterator[str]:
    if "over_time" not in task:
        return
    found = task["over_time"]
    rows = [
        [point["start"][:16].replace("T", " "), number(point.get("value")), interval(point), size_of_window(point)]
        for point in found["points"]
    ]
    yield ""
    yield table([f"{found['window']} from (UTC)", words(found["metric"]), "95 % interval", "n"], rows)


def _thresholds(task: Report) -> Iterator[str]:
    if "thresholds" in task:
        yield ""
        yield from sentences(task["thresholds"])


def _slices(task: Report) -> Iterator[str]:
    if "slices" in task:
        yield ""
        yield from slice_lines(task["slices"])


def _by(task: Report) -> Iterator[str]:
    if "by" not in task:
        return
    found = task["by"]
    rows = []
    for part in found.get("parts", []):
        values = {each["name"]: each for each in part.get("metrics", [])}
        cells = [number(values[name]["value"]) if name in values else "-" for name in task["shown"]]
        first = values.get(task["shown"][0], {})
        rows.append([part["value"], *cells, interval(first), number(part["n"])])
    names = [words(name) for name in task["shown"]]
    yield ""
    yield table([found["name"], *names, f"95 % of {names[0]}", "n"], rows)
    if found["values_left_out"]:
        yield f"  and {found['values_left_out']:,} more values with {found['documents_left_out']:,} documents"
