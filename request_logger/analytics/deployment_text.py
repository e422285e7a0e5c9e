"""The words of the list of deployments, the same in the terminal and on a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from request_logger.analytics.formatting import interval, number, words

Report = dict[str, Any]

HEADER = ["deployment", "predictions", "with feedback", "scored", "scorer", "last seen (UTC)", "headline", "95 %"]
_NO_NAME = "(without a name)"


def name_of(each: Report) -> str:
    """Return a deployment as a target names it."""
    return each["target"] or (f"{each['namespace']}/{_NO_NAME}" if each["namespace"] else _NO_NAME)


def rows(report: Report) -> Iterator[list[str]]:
    """Yield a row of text per deployment."""
    for each in report["deployments"]:
        yield [
            name_of(each),
            number(each["predictions"]),
            number(each["with_feedback"]),
            number(each["scored"]),
            ", ".join(each["scorers"]) or "-",
            each.get("last_seen", "-")[:16].replace("T", " "),
            headline(each["headline"]),
            interval(each["headline"]),
        ]


def headline(found: Report) -> str:
    """Return the headline figure with its name; ``-`` where there is none."""
    return f"{words(found['name'])} {number(found['value'])}" if "value" in found else "-"


def remarks(report: Report) -> Iterator[str]:
    """Yield why deployments have no figure or no interval, and what is left out."""
    for reason, names in _by_reason(report["deployments"], "reason"):
        yield f"No figure of {', '.join(names)}: {reason}."
    for reason, names in _by_reason(report["deployments"], "no_interval"):
        yield f"No interval of {', '.join(names)}: {reason}."
    yield from report["notes"]


def _by_reason(deployments: Iterable[Report], key: str) -> Iterator[tuple[str, list[str]]]:
    reasons: dict[str, list[str]] = {}
    for each in deployments:
        if key in each["headline"]:
            reasons.setdefault(each["headline"][key].rstrip("."), []).append(name_of(each))
    yield from reasons.items()
