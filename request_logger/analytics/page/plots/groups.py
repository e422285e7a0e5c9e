"""Plots of groups of documents: coverage, the values of a field, slices, fairness."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from request_logger.analytics.formatting import interval, number, p_value, percent, words
from request_logger.analytics.page import marks, svg
from request_logger.analytics.page.marks import Row
from request_logger.analytics.page.plots import over_time
from request_logger.analytics.page.plots.plot import UNIT, Plot, Report, capitalized, metric_value, plot

# More rows make a plot that nobody scrolls through; the table has all.
_MOST_ROWS = 15
_RATES = {
    "selection_rate": "Selection rate",
    "true_positive_rate": "True positive rate",
    "false_positive_rate": "False positive rate",
    "precision": "Precision",
}


def coverage(report: Report) -> Plot:
    """Return how many predictions have feedback, are scored, and by a truth."""
    counts = report["coverage"]
    steps = [
        ("predictions", counts["predictions"]),
        ("with feedback", counts["with_feedback"]),
        ("scored", counts["scored"]),
        ("by a truth", counts["by_truth"]),
    ]
    drawn, height = marks.bars([Row(name, f"{count:,}", count) for name, count in steps])
    caption = f"{percent(counts.get('share'))} of the predictions have feedback."
    rows = [(name, f"{count:,}") for name, count in steps]
    return plot("coverage", "Coverage", caption, ("Step", "Documents"), rows, drawn, height=height)


def of_split(task: Report, key: str) -> Iterator[Plot]:
    """Yield the plots of the field that the report is split by."""
    yield from filter(None, (by_value(task, key), over_time.by_value(task, key)))


def by_value(task: Report, key: str) -> Plot | None:
    """Return the headline by the values of the field that the report is split by."""
    found = task["by"]
    name = task["shown"][0] if task.get("shown") else ""
    parts = [
        (part, metric)
        for part in found.get("parts", [])
        for metric in part.get("metrics", [])
        if metric["name"] == name
    ]
    if not parts:
        return None
    rows = [(part["value"], number(metric["value"]), interval(metric), f"{part['n']:,}") for part, metric in parts]
    entries = [
        Row(str(part["value"]), _figure(metric, part["n"]), metric["value"], metric.get("low"), metric.get("high"))
        for part, metric in parts[:_MOST_ROWS]
    ]
    title = f"{capitalized(words(name))} by {found['name']}"
    caption = f"With 95 % intervals; the dashed line is the {words(name)} of all.{_cut(len(parts))}"
    header = (found["name"], words(name), "95 % interval", "n")
    return _intervals(f"{key}-by", title, caption, header, rows, entries, metric_value(task, name))


def slices(task: Report, key: str) -> Plot | None:
    """Return how much worse slices are than the rest, by the half of the folds that confirms them."""
    found = [each for each in task["slices"].get("slices", []) if "confirming" in each]
    if not found:
        return None
    rows, entries = [], []
    for each in found:
        again = each["confirming"]
        state = "confirmed" if each["confirmed"] else "not confirmed"
        rows.append((each["name"], number(again["worse"]), interval(again), f"{each['n']:,}", state))
        entries.append(
            Row(each["name"], f"{number(again['worse'])}, {state}", again["worse"], again.get("low"), again.get("high"))
        )
    name = words(task["slices"]["metric"])
    caption = f"By how much the {name} is worse than that of the rest, with 95 % intervals.{_cut(len(found))}"
    header = ("Slice", "Worse by", "95 % interval", "n", "State")
    return _intervals(f"{key}-slices", "Worst slices", caption, header, rows, entries[:_MOST_ROWS], 0.0)


def fairness(task: Report, key: str) -> Iterator[Plot]:
    """Yield the differences of each rate to that of the reference group."""
    found = task["fairness"]
    for rate, title in _RATES.items():
        known = [(group, group["rates"][rate]) for group in found.get("groups", []) if rate in group.get("rates", {})]
        apart = [(group, each, each["difference"]) for group, each in known if "difference" in each]
        if not apart:
            continue
        rows = [
            (group["value"], number(each["value"]), number(gap["value"]), interval(gap), p_value(gap["p_adjusted"]))
            for group, each, gap in apart
        ]
        entries = [
            Row(str(group["value"]), _figure(gap, each["n"]), gap["value"], gap["low"], gap["high"])
            for group, each, gap in apart[:_MOST_ROWS]
        ]
        reference = next((each["value"] for group, each in known if group["value"] == found["reference"]), None)
        caption = (
            f"Difference to {found['reference']} ({number(reference)}), with 95 % intervals: an interval over the"
            f" dashed line may be chance.{_cut(len(apart))}"
        )
        header = ("Value", title, "Difference", "95 % interval", "adjusted p")
        name = f"{key}-{rate.replace('_', '-')}"
        yield _intervals(name, f"{title} by {task['by']['name']}", caption, header, rows, entries, 0.0)


def _intervals(
    name: str,
    title: str,
    caption: str,
    header: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    entries: list[Row],
    guide: float | None,
) -> Plot:
    values = [end for row in entries for end in (row.value, row.low, row.high) if end is not None]
    around = [*values, *([guide] if guide is not None else [])]
    bounds = UNIT if all(0 <= value <= 1 for value in around) else (-math.inf, math.inf)
    span = svg.padded_range(around, bounds=bounds)
    drawn, height = marks.intervals(entries, span, svg.ticks(span, 4), guide)
    return plot(name, title, caption, header, rows, drawn, height=height)


def _figure(found: Report, n: int) -> str:
    sure = f" ({interval(found)})" if "low" in found else ""
    return f"{number(found['value'])}{sure}, n = {n:,}"


def _cut(count: int) -> str:
    return f" The first {_MOST_ROWS} of {count}; the table has all." if count > _MOST_ROWS else ""
