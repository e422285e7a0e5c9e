"""What a report says of late labels in words and tables, the same in the terminal and on the page."""

from __future__ import annotations

from typing import Any

from request_logger.analytics.evaluation_tables import Table
from request_logger.analytics.formatting import duration, percent

Report = dict[str, Any]


def maturity_line(found: Report) -> str:
    """Return when labels are complete, or why that is unknown."""
    if "seconds" not in found:
        return f"when labels are complete is unknown: {found['problem']}"
    oldest = duration(found["curve"][-1]["seconds"])
    return (
        f"{percent(found['complete'])} of the labels that come within {oldest} have come within"
        f" {duration(found['seconds'])}; younger windows are marked young"
    )


def size_of_window(point: Report) -> str:
    """Return the number of documents of a window, with a mark if it is young."""
    return f"{point['n']:,}{' young' if point.get('mature') is False else ''}"


def delay_table(found: Report) -> Table:
    """Return the table of delays by truth label."""
    rows = [
        [row["label"], duration(row["median"]), duration(row["quantile_95"]), f"{row['n']:,}"]
        for row in found["labels"]
    ]
    whose = "Delay of feedback by truth, " + (
        "mature predictions" if found["mature"] else "so far: later labels are missing"
    )
    return Table(whose, ["truth", "delay, median", "95 % within", "n"], rows)
