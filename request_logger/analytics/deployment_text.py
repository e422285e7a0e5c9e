"""The words of the list of deployments, the same in the terminal and on a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from request_logger.analytics.formatting import interval, number, words

Report = dict[str, Any]

HEADER = [
    "deployment",
    "predictions",
    "with feedback",
    "scored",
    "scorer",
    "last seen (UTC)",
    "metric",
    "value",
    "95 % interval",
]
_NONE = "-"
# Deployments that share a reason and are named: JSON has the reason of each.
_MOST_NAMED = 5
_NO_NAME = "(without a name)"


def head(report: Report) -> str:
    """Return what a report or a list is about: the target, the indices, the time span (in UTC) and the conditions."""
    span = " ".join(f"{word} {report[word]}" for word in ("from", "to") if word in report)
    span = f"{span} (UTC)" if span else ""
    where = " and ".join(report.get("where", []))
    target = f"{report.get('target') or 'everything'} in {report['indices']}"
    return ", ".join(filter(None, (target, span, where)))


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
            ", ".join(each["scorers"]) or _NONE,
            each.get("last_seen", "-")[:16].replace("T", " "),
            words(each["headline"]["name"]) if "value" in each["headline"] else _NONE,
            number(each["headline"].get("value")),
            interval(each["headline"]),
        ]


def remarks(report: Report) -> Iterator[str]:
    """Yield why deployments have no figure or no interval, and what is left out."""
    for reason, names in _by_reason(report["deployments"], "reason"):
        yield f"No figure of {_some(names)}: {reason}."
    for reason, names in _by_reason(report["deployments"], "no_interval"):
        yield f"No interval of {_some(names)}: {reason}."
    yield from report["notes"]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _by_reason(deployments: Iterable[Report], key: str) -> Iterator[tuple[str, list[str]]]:
    reasons: dict[str, list[str]] = {}
    for each in deployments:
        if key in each["headline"]:
            reasons.setdefault(each["headline"][key].rstrip("."), []).append(name_of(each))
    yield from reasons.items()
