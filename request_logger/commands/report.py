"""`request-logger report`: report the quality of predictions as a table, JSON or a page."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from request_logger.analytics import evaluation_tables, llm_tables, selection_tables
from request_logger.analytics.drift import tables as drift_tables
from request_logger.analytics.formatting import duration, interval, number, percent, remarks, words
from request_logger.analytics.maturity_text import delay_table, maturity_line, size_of_window
from request_logger.analytics.report import Options, Report, make_report
from request_logger.analytics.thresholds.cells import Costs
from request_logger.analytics.thresholds.text import sentences
from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.selection_args import add_mature, add_span, add_target
from request_logger.commands.slice_text import slice_lines
from request_logger.commands.text_table import table
from request_logger.errors import CommandError
from request_logger.settings import Settings

_MOST_CLASSES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_span(parser)
    parser.add_argument(
        "--by",
        metavar="FIELD",
        default="",
        help="split by model, version, an element, a tag, a header...",
    )
    parser.add_argument(
        "--window", metavar="DURATION", default="", help="interval of the points over time: 15m, 6h, 1d, 1w, month"
    )
    parser.add_argument(
        "--against",
        metavar="WINDOW",
        default="",
        help="add the drift of inputs and predictions against reference, previous, same-weekday or DATE..DATE",
    )
    add_mature(parser)
    parser.add_argument(
        "--cost",
        metavar="VALUES",
        default="",
        help="judge thresholds by the value of each outcome, a cost is negative: tp=0,fp=-1,fn=-10,tn=0",
    )
    parser.add_argument("--slices", action="store_true", help="look for the worst slices in all fields: takes longer")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--html", metavar="FILE", help="write one self-contained page with plots")


def run(arguments: argparse.Namespace) -> int:
    """Print or write the report. Status 0: done, 1: there is nothing to report, 2: invalid arguments."""
    settings = Settings.from_env()
    options = Options(
        arguments.target,
        arguments.start,
        arguments.end,
        arguments.by,
        arguments.window,
        arguments.by_date,
        mature=arguments.mature,
        slices=arguments.slices,
        where=tuple(arguments.where),
        against=arguments.against,
        costs=Costs.of(arguments.cost) if arguments.cost else None,
    )
    report = make_report(quiet_engine(settings), settings, options)
    if arguments.json:
        print(json.dumps(report, indent=2))
    elif arguments.html:
        from request_logger.analytics.page import page  # noqa: PLC0415 - only a page needs its templates

        write_page(Path(arguments.html), page, report)
    else:
        print("\n".join(lines(report)))
    return int(not report["coverage"]["predictions"] and not report["tasks"] and "evaluations" not in report)


def write_page(path: Path, page: Callable[[Report], str], found: Report) -> None:
    """Write a page to a file. Raises CommandError."""
    try:
        path.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--html: {path} can't be written: {error.strerror}") from None
    print(f"{path} written")


def lines(report: Report) -> Iterator[str]:
    """Yield the report as lines of text."""
    yield from _head(report)
    selection = list(_selection(report))
    is_first = "selection" in report and selection_tables.comes_first(report["selection"])
    yield from selection if is_first else ()
    for task in report["tasks"]:
        yield ""
        yield f"{task['scorer']}: {task['documents']:,} scored"
        if "reason" in task:
            yield f"No figures: {task['reason']}."
        yield from _metrics(task)
        yield from _classes(task)
        yield from _matrix(task)
        yield from _thresholds(task)
        yield from _over_time(task)
        yield from _by(task)
        yield from _slices(task)
    yield from () if is_first else selection
    yield from _evaluations(report)
    yield from _answers(report)
    if "drift" in report:
        found = report["drift"]
        yield from _section(f"drift: {drift_tables.head(found)}", drift_tables.tables(found))
        yield drift_tables.verdict(found)
        yield from (f"Note: {note}" for note in drift_tables.notes(found))
    for note in report["notes"]:
        yield ""
        yield f"Note: {note}"


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


def _section(heading: str, tables: Iterable[evaluation_tables.Table]) -> Iterator[str]:
    yield ""
    yield heading
    for position, found in enumerate(tables):
        if position:
            yield ""
        yield table(found.header, found.rows)


def _head(report: Report) -> Iterator[str]:
    span = " ".join(f"{word} {report[word]}" for word in ("from", "to") if word in report)
    where = " and ".join(report.get("where", []))
    yield from (f"WARNING: {warning}" for warning in report.get("warnings", ()))
    yield ", ".join(filter(None, (f"{report.get('target') or 'everything'} in {report['indices']}", span, where)))
    counts = report["coverage"]
    if not counts["predictions"] and not report["tasks"]:
        yield "No predictions."
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
    if "maturity" in report:
        yield maturity_line(report["maturity"])
    for problem in report.get("unscorable", []):
        yield f"{problem['n']:,} can't be scored: {problem['reason']}"
    if "delay_by_label" in report:
        found = delay_table(report["delay_by_label"])
        yield ""
        yield table(found.header, found.rows)


def _metrics(task: Report) -> Iterator[str]:
    rows = [
        [words(found["name"]), number(found["value"]), interval(found), number(found.get("baseline")), _size(found)]
        for found in task.get("metrics", [])
    ]
    if rows:
        yield table(["metric", "value", "95 % interval", "best constant", "n"], rows)
        yield from remarks(task)


def _size(found: Report) -> str:
    return f"{found['n']:,}" if "n" in found else "-"


def _classes(task: Report) -> Iterator[str]:
    found: dict[str, Any] = task.get("per_class", {})
    rows = []
    for label, row in sorted(found.items(), key=lambda pair: -pair[1].get("support", 0))[:_MOST_CLASSES]:
        values = [_with_interval(row, part) for part in ("precision", "recall", "f1")]
        rows.append([label, *values, number(row.get("support"))])
    if rows:
        yield ""
        yield table(["class", "precision", "recall", "F1", "support"], rows)
        if len(found) > _MOST_CLASSES:
            yield f"  and {len(found) - _MOST_CLASSES} rarer classes: --json has them"


def _with_interval(row: Report, part: str) -> str:
    known = row.get("intervals", {}).get(part)
    return number(row.get(part)) + (f" ({number(known[0])} to {number(known[1])})" if known else "")


def _matrix(task: Report) -> Iterator[str]:
    matrix: dict[str, dict[str, int]] = task.get("confusion_matrix", {})
    labels = sorted({*matrix, *(label for row in matrix.values() for label in row)})
    if not labels or len(labels) > 10:
        return
    yield ""
    rows = [[truth, *(number(matrix.get(truth, {}).get(said, 0)) for said in labels)] for truth in labels]
    yield table(["truth \\ prediction", *labels], rows)


def _over_time(task: Report) -> Iterator[str]:
    if "over_time" not in task:
        return
    found = task["over_time"]
    rows = [
        [point["start"][:16].replace("T", " "), number(point.get("value")), interval(point), size_of_window(point)]
        for point in found["points"]
    ]
    yield ""
    yield table([f"{found['window']} from", words(found["metric"]), "95 % interval", "n"], rows)


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
