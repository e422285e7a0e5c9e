"""The words of a comparison, the same in the terminal and on the page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from request_logger.analytics.contrasts import Form
from request_logger.analytics.formatting import bounded, number, p_value, percent, words
from request_logger.analytics.surface import Control, Surface
from request_logger.common.mapped_fields import ORIGIN_KEYWORDS

Report = dict[str, Any]

_FORMS = {
    Form.SEQUENTIAL: "Intervals and p-values hold for a look every day (confidence sequence; {one_look} for one look).",
    Form.FIXED: "Intervals and p-values hold for one look, at a number of documents that was chosen beforehand.",
}
# The paths of origins -> their names.
_FIELDS = {path: name for name, path in ORIGIN_KEYWORDS.items()}
# The most frequent classes of a comparison.
_MOST_CLASSES = 20
CLASS_HEADER = ["class", "of", "precision", "recall", "F1", "support"]


def head(found: Report) -> str:
    """Return what is compared, as one line."""
    a, b = found["a"], found["b"]
    where = "".join(f", {condition}" for condition in found.get("where", []))
    return (
        f"{a['name']} ({a['documents']:,} of {a['predictions']:,} scored) against"
        f" {b['name']} ({b['documents']:,} of {b['predictions']:,} scored) by"
        f" {_FIELDS.get(found['by'], found['by'])}{where}, scorer"
        f" {found['scorer']}"
    )


def header(found: Report) -> list[str]:
    """Return the names of the columns of `rows`."""
    return ["metric", found["a"]["name"], found["b"]["name"], "difference", "95 % interval", "p", "p (Holm)", "test"]


def rows(found: Report) -> Iterator[list[str]]:
    """Yield a row for each metric: its values, the difference, and its test or why there is none.

    Metrics that are the same number as another one are in a note instead.
    """
    same = {name for names in _same_numbers(found).values() for name in names}
    for row in found["metrics"]:
        if row["name"] in same:
            continue
        values = number(row["a"]["value"]), number(row["b"]["value"])
        test = f"as {words(row['same_question'])}" if "same_question" in row else row.get("test", "-")
        tested = "p_value" in row
        yield [
            words(row["name"]),
            *values,
            number(row.get("difference")),
            f"{number(row['low'])} to {number(row['high'])}" if tested else "-",
            p_value(row["p_value"]) if tested else "-",
            p_value(row["p_adjusted"]) if "p_adjusted" in row else "-",
            row.get("reason", test),
        ]


def _same_numbers(found: Report) -> dict[str, list[str]]:
    """Return by metric the others that are the same number in both groups, as micro averages are the accuracy."""
    values = {row["name"]: (row["a"]["value"], row["b"]["value"]) for row in found["metrics"]}
    same: dict[str, list[str]] = {}
    for row in found["metrics"]:
        other = row.get("same_question")
        if other is not None and all(map(_are_equal, values[row["name"]], values[other])):
            same.setdefault(other, []).append(row["name"])
    return same


def _are_equal(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-12)


def class_rows(found: Report) -> Iterator[list[str]]:
    """Yield two rows for each class, the most frequent first: the figures of both with their intervals."""
    tables = [found.get("per_class", {}).get(side, {}) for side in "ab"]
    labels = {label for table in tables for label in table}
    sizes = {label: sum(table.get(label, {}).get("support", 0) for table in tables) for label in labels}
    for label in sorted(labels, key=lambda name: (-sizes[name], name))[:_MOST_CLASSES]:
        for side, table in zip("ab", tables, strict=True):
            row = table.get(label, {})
            parts = [bounded(row, part) for part in ("precision", "recall", "f1")]
            yield [label, found[side]["name"], *parts, number(row.get("support"))]


def notes(found: Report, surface: Surface = Surface.TERMINAL) -> Iterator[str]:
    """Yield what to know of the tests, and the test of pairs."""
    for name, names in _same_numbers(found).items():
        yield f"The same number as {words(name)}: {', '.join(map(words, names))}."
    yield _FORMS[Form(found["form"])].format(one_look=Control.ONE_LOOK.on(surface))
    yield from _traffic(found, surface)
    others = sum("p_value" in row for row in found["metrics"] if row["name"] != found["verdict"]["metric"])
    if others:
        yield (
            f"Only {words(found['verdict']['metric'])} decides ({Control.METRIC.on(surface)}). Other tests ({others})"
            " have a p that is corrected for their number, too: of equal models, one comparison in twenty has any p"
            " (Holm) below 0.05."
        )
    if found.get("together"):
        is_by_row = found.get("paired", {}).get("way") == "row"
        start = "Documents belong together, as rows of a batch do:"
        yield f"{start} the intervals are too narrow{'' if is_by_row else ', but for that of the deciding test'}."
    yield from _pairs(found)


def _traffic(found: Report, surface: Surface) -> Iterator[str]:
    traffic, a, b = found.get("traffic"), found["a"], found["b"]
    if not traffic:
        return
    share = a["predictions"] / (a["predictions"] + b["predictions"])
    text = f"Traffic: {percent(share)} to {percent(1 - share)}"
    if "sample_ratio" in traffic:
        ratio = traffic["sample_ratio"]
        expected = " to ".join(percent(part) for part in ratio["split"])
        text += f" ({'assumed' if ratio['assumed'] else 'expected'} {expected}, p {p_value(ratio['p_value'])})"
    else:
        text += f" (not checked: {Control.SPLIT.on(surface)} says how it should be)"
    if "feedback" in traffic:
        rates = traffic["feedback"]
        text += f"; feedback: {percent(rates['a'])} and {percent(rates['b'])} (p {p_value(rates['p_value'])})"
    yield f"{text}."


def _pairs(found: Report) -> Iterator[str]:
    if "folds" in found and "p_value" in found["folds"]:
        folds = found["folds"]
        yield (
            f"Over folds of documents that belong together: {words(found['verdict']['metric'])} differs by"
            f" {number(folds['difference'])} ({number(folds['low'])} to {number(folds['high'])}),"
            f" p {p_value(folds['p_value'])} ({folds['test']})"
        )
    if "paired" not in found:
        return
    pairs = found["paired"]
    same = {"request": "the same request", "row": "the same row"}[pairs["way"]]
    start = f"{pairs['pairs']:,} pairs of {same}"
    metric = words(found["verdict"]["metric"])
    if "p_value" in pairs:
        yield (
            f"{start}: {metric} differs by {number(pairs['difference'])}"
            f" ({number(pairs['low'])} to {number(pairs['high'])}), p {p_value(pairs['p_value'])} ({pairs['test']})"
        )
    else:
        yield f"{start}: {metric} is not tested, {pairs['reason']}"
    if "only_a" in pairs:
        a, b = found["a"]["name"], found["b"]["name"]
        yield f"only {a} is right in {pairs['only_a']:,}, only {b} in {pairs['only_b']:,}"
    if pairs["cut"]:
        yield "Only the oldest documents were read, since there are too many."


def verdict_line(verdict: Report, names: tuple[str, str]) -> str:
    """Return the verdict as one line."""
    metric = words(verdict["metric"]) + {"groups": "", "pairs": " by pairs", "folds": " by folds"}[verdict["by"]]
    if "p_value" in verdict:
        metric = f"{metric}, p {p_value(verdict['p_value'])}"
    if "better" in verdict:
        start = f"{verdict['better']} is better: {metric}"
    elif verdict["differ"]:
        start = f"The two differ: {metric}"
    else:
        start = f"Not enough data to tell: {metric}"
        if "reason" in verdict:
            start += f"; {verdict['reason']}"
        if "detectable" in verdict:
            shown = number(verdict["detectable"])
            start += f"; these documents show a difference of {shown} with a probability of 80 %"
    return f"{start}.{_needed(verdict, names)}"


def _needed(verdict: Report, names: tuple[str, str]) -> str:
    if "detect" not in verdict:
        return ""
    if "needed" not in verdict:
        return f" No realistic number of documents shows a difference of {number(verdict['detect'])}."
    start = f" To show a difference of {number(verdict['detect'])}"
    if verdict["by"] == "pairs":
        return f"{start}, {verdict['needed']:,} pairs are needed, {verdict['more']:,} more than there are."
    needed = " and ".join(f"{size:,} of {name}" for size, name in zip(verdict["needed"], names, strict=True))
    more = " and ".join(f"{size:,}" for size in verdict["more"])
    return f"{start}, {needed} are needed, {more} more than there are."
