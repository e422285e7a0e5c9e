"""Slices as tables, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from request_logger.analytics.formatting import number, p_value, words


def summary(task: dict[str, Any]) -> str:
    """Return what was looked at in one sentence."""
    looked = task["looked_at"]
    found = task.get("slices", [])
    confirmed = sum(each["confirmed"] for each in found)
    return (
        f"{looked['slices']:,} slices of {looked['fields']} fields and {looked['pairs']:,} pairs were tested on half of"
        f" the folds: {len(found)} are worse than the rest, and {confirmed} of them are confirmed on the other half."
    )


def header(task: dict[str, Any]) -> list[str]:
    """Return the header of `rows`."""
    return [
        "slice",
        words(task["metric"]),
        "rest",
        "worse by",
        "95 % interval",
        "adjusted p",
        "shrunk",
        "cost",
        "n",
        "confirmed",
    ]


def rows(task: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield a row per slice: its figures are those of the half that confirms it."""
    for each in task.get("slices", []):
        again = each.get("confirming", {})
        yield (
            each["name"],
            number(again.get("mean")),
            number(again.get("rest")),
            number(again.get("worse")),
            f"{number(again['low'])} to {number(again['high'])}" if "low" in again else "-",
            p_value(again["p_adjusted"]) if again else "-",
            number(each["finding"]["shrunk"]),
            number(each["cost"]),
            number(each["n"]),
            "yes" if each["confirmed"] else "no",
        )
