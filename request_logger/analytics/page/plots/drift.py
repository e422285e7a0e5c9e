"""Plots of drift: how far each field is from the reference, and the distributions that have changed most."""

from __future__ import annotations

from collections.abc import Iterator

from request_logger.analytics.formatting import number, percent
from request_logger.analytics.page import marks
from request_logger.analytics.page.marks import Row
from request_logger.analytics.page.plots.plot import Plot, Report, plot

_MOST_FIELDS = 20
# Fields whose distributions are drawn: those with the most drift.
_MOST_DRAWN = 3
_MOST_CELLS = 12


def of_drift(report: Report, key: str = "drift") -> Iterator[Plot]:
    """Yield the plots of a drift report: PSI by field, and the distributions of the fields that have drifted most."""
    judged = [each for each in report["fields"] if "psi" in each]
    if not judged:
        return
    rows = [
        (each["name"], number(each["psi"]), number(each["threshold"]), number(each["noise_floor"]), each["level"])
        for each in judged
    ]
    entries = [
        Row(each["name"], f"{number(each['psi'])}, {each['level']}", each["psi"], limit=each["threshold"])
        for each in judged[:_MOST_FIELDS]
    ]
    drawn, height = marks.bars(entries)
    caption = (
        "The population stability index (PSI) of each field. The upright mark is its threshold: what chance alone may"
        " reach with so many documents, and at least 0.1."
    )
    if any(each["level"] in ("major", "moderate") and each["psi"] <= each["threshold"] for each in judged):
        caption += " A field below it has changed in what the table of the quality of the data has."
    if len(judged) > _MOST_FIELDS:
        caption += f" The {_MOST_FIELDS} largest of {len(judged)}; the table has all."
    header = ("Field", "PSI", "Threshold", "Noise floor", "Drift")
    yield plot(f"{key}-psi", "Drift by field", caption, header, rows, drawn, height=height)
    drifted = [each for each in judged if each["level"] in ("major", "moderate")]
    for number_, each in enumerate(drifted[:_MOST_DRAWN]):
        yield _distribution(each, f"{key}-field{number_}")


def _distribution(found: Report, name: str) -> Plot:
    cells = found["cells"]
    # Those that have changed most, in their own order.
    changes = sorted((abs(each["current"] - each["reference"]) for each in cells), reverse=True)
    shown = [each for each in cells if abs(each["current"] - each["reference"]) >= changes[:_MOST_CELLS][-1]]
    rows = [(str(each["values"]), percent(each["reference"]), percent(each["current"])) for each in cells]
    entries, top = marks.legend(["reference", "now"])
    bars, height = marks.paired_bars(
        [
            (
                str(each["values"]),
                (each["reference"], each["current"]),
                f"{percent(each['reference'])}, now {percent(each['current'])}",
            )
            for each in shown[:_MOST_CELLS]
        ]
    )
    moved = marks.moved_down(bars, top + 4)
    caption = f"Shares of the values, PSI {number(found['psi'])}." + (
        f" The {_MOST_CELLS} of {len(cells)} that have changed most." if len(cells) > _MOST_CELLS else ""
    )
    header = ("Values", "reference", "now")
    return plot(name, f"Drift of {found['name']}", caption, header, rows, entries, moved, height=height + top + 4)
