"""The figures of a drift report as tables of text, for the terminal and the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from request_logger.analytics.evaluation_tables import Table
from request_logger.analytics.formatting import number, p_value, percent

Report = dict[str, Any]
# Fields whose cells are shown: those that have drifted most.
_MOST_DETAILED = 5
_MOST_CELLS = 12
# A span is read without the seconds of its ends.
_MINUTE = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d(?:\.\d+)?Z")


def head(report: Report) -> str:
    """Return the line above the tables."""
    span = " ".join(f"{word} {report[word]}" for word in ("from", "to") if word in report)
    before = report["reference"]
    # Only stored cells were counted earlier.
    counted = before.get("counted_at", report["made_at"])
    since = f", counted at {counted}" if counted < report["made_at"] else ""
    text = (
        f"{report['target'] or 'everything'}{f', {span}' if span else ''}: {report['documents']:,} predictions against"
        f" {before['documents']:,} of {report['against']}{since}"
    )
    shorter = _MINUTE.sub(r"\1 \2", text)
    return text if shorter == text else f"{shorter} (UTC)"


def verdict(report: Report) -> str:
    """Return what was found, in one line."""
    counts = report["levels"]
    fields = len(report["fields"])
    if report["level"] == "unknown":
        drift = "Not enough data to judge any field."
    elif not counts["major"] + counts["moderate"]:
        drift = f"No drift in {fields - counts['unknown']} fields."
    else:
        drift = f"Drift: {counts['major']} major, {counts['moderate']} moderate, of {fields} fields."
    problems = report["with_problems"]
    return f"{drift} Problems with the data of {problems} field{'' if problems == 1 else 's'}." if problems else drift


def tables(report: Report) -> Iterator[Table]:
    """Yield the tables of a drift report."""
    judged = [found for found in report["fields"] if "psi" in found]
    if judged:
        header = [
            "field",
            "drift",
            "PSI",
            "threshold",
            "Jensen-Shannon",
            "L-infinity",
            "KS at least",
            "adjusted p",
            "n",
        ]
        yield Table("Distributions", header, [_row(found) for found in judged])
    problems = [
        [found["name"], each["check"], percent(each["reference"]), percent(each["current"]), each.get("detail", "")]
        for found in report["fields"]
        for each in found.get("problems", [])
    ]
    if problems:
        yield Table("Quality of the data", ["field", "problem", "reference", "now", "values"], problems)
    for found in judged[:_MOST_DETAILED]:
        if found["level"] in ("major", "moderate"):
            yield _cells(found)
    reasons = [[found["name"], found["reason"]] for found in report["fields"] if "reason" in found]
    if reasons:
        yield Table("Fields without a figure", ["field", "reason"], reasons)


def notes(report: Report) -> Iterator[str]:
    """Yield what limits the figures."""
    shares = report["not_indexed"]
    if shares.get("current"):
        before = percent(shares["reference"]) if "reference" in shares else "unknown"
        yield (
            f"Values of {percent(shares['current'])} of the requests have no field, as the mapping refuses them"
            f" (reference: {before}): request-logger check says why."
        )
    yield from report["notes"]


def _row(found: Report) -> list[str]:
    return [
        found["name"],
        found["level"],
        number(found["psi"]),
        number(found["threshold"]),
        number(found["jensen_shannon"]),
        number(found["l_infinity"]),
        number(found.get("ks")),
        p_value(found["adjusted_p_value"]) if "adjusted_p_value" in found else "-",
        f"{found['n']['current']:,}",
    ]


def _cells(found: Report) -> Table:
    """Return the shares of a field's cells; of a category with many values, those that have changed most."""
    cells = found["cells"]
    if len(cells) > _MOST_CELLS:
        least = sorted((abs(each["current"] - each["reference"]) for each in cells), reverse=True)[_MOST_CELLS - 1]
        cells = [each for each in cells if abs(each["current"] - each["reference"]) >= least]
    rows = [[each["values"], percent(each["reference"]), percent(each["current"])] for each in cells]
    return Table(f"Values of {found['name']}", [found["name"], "reference", "now"], rows)
