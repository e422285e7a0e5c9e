"""The figures of a drift report as gauges in Prometheus' text format, for its textfile collector or a Pushgateway."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily

from request_logger.analytics.drift.judgement import Level

Report = dict[str, Any]
PREFIX = "request_logger_drift"
_LEVELS = {Level.NONE: 0, Level.MODERATE: 1, Level.MAJOR: 2}
_OF_FIELDS = {
    "psi": "Population stability index of a field.",
    "threshold": "The population stability index above which a field has drifted.",
    "jensen_shannon": "Jensen-Shannon distance of a field, from 0 to 1.",
    "l_infinity": "Largest difference of the shares of a field's values.",
}


def exposition(report: Report) -> str:
    """Return the gauges of a report. A field that could not be judged has none."""
    registry = CollectorRegistry()
    registry.register(_Gauges(report))
    return generate_latest(registry).decode()


class _Gauges:
    """The gauges of one report."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._labels = {"target": report["target"], "against": report["against"].partition(":")[0]}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        fields = self._report["fields"]
        level = self._family("level", "How much a field has changed: 0 not, 1 moderately, 2 much.", "field", "role")
        for found in fields:
            if found["level"] in _LEVELS:
                level.add_metric(self._values(found["name"], found["role"]), _LEVELS[Level(found["level"])])
        yield level
        for name, meaning in _OF_FIELDS.items():
            family = self._family(name, meaning, "field", "role")
            for found in fields:
                if name in found:
                    family.add_metric(self._values(found["name"], found["role"]), found[name])
            yield family
        problem = self._family("problem", "Share of a field's documents or values with a problem.", "field", "check")
        for found in fields:
            for each in found.get("problems", []):
                problem.add_metric(self._values(found["name"], each["check"]), each["current"])
        yield problem
        documents = self._family("documents", "Documents of both sides.", "side")
        for side, count in (
            ("current", self._report["documents"]),
            ("reference", self._report["reference"]["documents"]),
        ):
            documents.add_metric(self._values(side), count)
        yield documents
        made = self._family("made_at_seconds", "When the figures were made (Unix time).")
        made.add_metric(self._values(), datetime.fromisoformat(self._report["made_at"]).timestamp())
        yield made

    def _family(self, name: str, meaning: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{PREFIX}_{name}", meaning, labels=[*self._labels, *labels])

    def _values(self, *values: str) -> list[str]:
        return [*self._labels.values(), *values]
