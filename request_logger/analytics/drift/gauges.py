"""The figures of a drift report as gauges."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from request_logger.analytics import gauges
from request_logger.analytics.drift.judgement import Level
from request_logger.analytics.gauges import Gauge

Report = dict[str, Any]
PREFIX = "request_logger_drift"
_LEVELS = {Level.NONE: 0, Level.MODERATE: 1, Level.MAJOR: 2}
_FIELD = ("field", "role")
_OF_FIELDS = {
    "psi": "Population stability index of a field.",
    "threshold": "The population stability index above which a field has drifted.",
    "jensen_shannon": "Jensen-Shannon distance of a field, from 0 to 1.",
    "l_infinity": "Largest difference of the shares of a field's values.",
}


def exposition(report: Report) -> str:
    """Return the gauges of a report. A field that could not be judged has none."""
    common = {"target": report["target"], "against": report["against"].partition(":")[0]}
    return gauges.exposition(PREFIX, common, _gauges(report))


def _gauges(report: Report) -> Iterator[Gauge]:
    fields = report["fields"]
    named = [((found["name"], found["role"]), found) for found in fields]
    levels = [(labels, _LEVELS.get(Level(found["level"]))) for labels, found in named]
    yield Gauge("level", "How much a field has changed: 0 not, 1 moderately, 2 much.", _FIELD, levels)
    for name, meaning in _OF_FIELDS.items():
        yield Gauge(name, meaning, _FIELD, [(labels, found.get(name)) for labels, found in named])
    problems = [
        ((found["name"], each["check"]), each["current"]) for found in fields for each in found.get("problems", [])
    ]
    yield Gauge("problem", "Share of a field's documents or values with a problem.", ("field", "check"), problems)
    sides = {"current": report["documents"], "reference": report["reference"]["documents"]}
    yield Gauge("documents", "Documents of both sides.", ("side",), [((side,), count) for side, count in sides.items()])
    yield gauges.made_at(datetime.fromisoformat(report["made_at"]).timestamp())
