"""The figures of a fairness report as gauges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from request_logger.analytics import gauges
from request_logger.analytics.gauges import Gauge

Report = dict[str, Any]
PREFIX = "request_logger_fairness"
_OF_GROUP = ("scorer", "group", "rate")
_OF_RATE = ("scorer", "rate")
_LIMITS = {"value": "", "low": "_low", "high": "_high"}
_WORDS = {"value": "", "low": ": lower 95 % limit", "high": ": upper 95 % limit"}


def exposition(report: Report) -> str:
    """Return the gauges of a report. A task without a comparison has none."""
    return gauges.exposition(PREFIX, {"target": report["target"], "field": report["name"]}, _gauges(report))


def _gauges(report: Report) -> Iterator[Gauge]:
    tasks = [task for task in report["tasks"] if "groups" in task]
    rates = [
        ((task["scorer"], group["value"], rate), found)
        for task in tasks
        for group in task["groups"]
        for rate, found in group["rates"].items()
    ]
    apart = [(labels, found["difference"]) for labels, found in rates if "difference" in found]
    for name, what, samples in (
        ("rate", "Rate of a group", rates),
        ("difference", "Rate of a group minus that of the reference group", apart),
    ):
        for limit, suffix in _LIMITS.items():
            figures = [(labels, found[limit]) for labels, found in samples]
            yield Gauge(f"{name}{suffix}", f"{what}{_WORDS[limit]}.", _OF_GROUP, figures)
    extremes = [((task["scorer"], rate), found) for task in tasks for rate, found in task["greatest"].items()]
    for name, meaning, key in (
        ("greatest_difference", "Greatest difference of a rate between two groups.", "difference"),
        ("least_ratio", "Least ratio of a rate between two groups.", "ratio"),
    ):
        yield Gauge(name, meaning, _OF_RATE, [(labels, found.get(key)) for labels, found in extremes])
    sizes = [((task["scorer"], group["value"]), group["n"]) for task in tasks for group in task["groups"]]
    yield Gauge("documents", "Scored documents of a group.", ("scorer", "group"), sizes)
    yield gauges.made_at()
