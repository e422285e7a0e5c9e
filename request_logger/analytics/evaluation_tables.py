"""The figures of evaluations as tables of text, for the printed report and the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from request_logger.analytics.formatting import interval, number, words

_MOST_LABELS = 20


@dataclass(frozen=True, slots=True)
class Table:
    """A table: what it shows, the heads of its columns, its rows."""

    caption: str
    header: list[str]
    rows: list[list[str]]


def heading(section: dict[str, Any]) -> str:
    """Return the line above the tables of a name's evaluations."""
    failed = f", {section['failed']:,} failed" if "failed" in section else ""
    return f"evaluation {section['name']}: {section['documents']:,} predictions, {section['ratings']:,} ratings{failed}"


def tables(section: dict[str, Any]) -> Iterator[Table]:
    """Yield the tables of a name's evaluations, as the report has them."""
    rows = [
        [_spelled(found["name"]), number(found["value"]), interval(found), _size(found)]
        for found in section.get("metrics", [])
    ]
    if rows:
        yield Table("Means, agreement and shares", ["figure", "value", "95 % interval", "n"], rows)
    raters = [
        [" and ".join(pair["raters"]), number(pair.get("agreement")), number(pair.get("kappa")), interval(pair),
         f"{pair['n']:,}"]
        for pair in section.get("raters", [])
    ]  # fmt: skip
    if raters:
        header = ["raters", "equal", "Cohen's kappa", "95 % interval", "n"]
        yield Table("Agreement of each two raters", header, raters)
    if "judge" in section:
        yield from _judge(section["judge"])
    if "over_time" in section:
        yield _over_time(section["over_time"])
    if "by" in section:
        yield _by(section)


def _judge(judge: dict[str, Any]) -> Iterator[Table]:
    found = sorted(judge["by_label"].items(), key=lambda pair: (-pair[1]["support"], pair[0]))[:_MOST_LABELS]
    rows = [
        [label, *(_with_interval(row, part) for part in ("precision", "recall", "f1")), f"{row['support']:,}"]
        for label, row in found
    ]
    yield Table("The judge against people", ["label", "precision", "recall", "F1", "support"], rows)


def _with_interval(row: dict[str, Any], part: str) -> str:
    known = row.get("intervals", {}).get(part)
    return number(row.get(part)) + (f" ({number(known[0])} to {number(known[1])})" if known else "")


def _over_time(found: dict[str, Any]) -> Table:
    rows = [
        [point["start"][:16].replace("T", " "), number(point.get("value")), interval(point), number(point["n"])]
        for point in found["points"]
    ]
    return Table("Over time", [f"{found['window']} from", _spelled(found["metric"]), "95 % interval", "n"], rows)


def _by(section: dict[str, Any]) -> Table:
    found, shown = section["by"], section["shown"]
    rows = []
    for part in found.get("parts", []):
        values = {each["name"]: each for each in part.get("metrics", [])}
        cells = [number(values[name]["value"]) if name in values else "-" for name in shown]
        rows.append([part["value"], *cells, interval(values.get(shown[0], {})), number(part["n"])])
    header = [found["name"], *map(_spelled, shown), f"95 % of {_spelled(shown[0])}", "n"]
    return Table(f"By {found['name']}", header, rows)


def _spelled(name: str) -> str:
    """Return a figure's name in words; a label as it is."""
    return f"share of {name[len('share[') : -1]}" if name.startswith("share[") else words(name)


def _size(found: dict[str, Any]) -> str:
    return f"{found['n']:,}" if "n" in found else "-"
