"""The figures of thresholds as gauges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from request_logger.analytics import gauges
from request_logger.analytics.gauges import Gauge

Report = dict[str, Any]
PREFIX = "request_logger_threshold"
# The name of the gauge, its meaning, the part of a task and the key in it.
_OF_TASK = (
    ("best", "The best threshold: by value with --cost, else by F1.", "best", "threshold"),
    ("best_low", "The best threshold: lower end of its 95 % range.", "best", "threshold_low"),
    ("best_high", "The best threshold: upper end of its 95 % range.", "best", "threshold_high"),
    ("elsewhere", "Value or F1 of the best threshold on documents that it was not chosen by.", "best", "elsewhere"),
    ("gain", "What the best threshold gains against the one in use.", "best", "gain"),
    ("gain_low", "What the best threshold gains: lower 95 % limit.", "best", "gain_low"),
    ("gain_high", "What the best threshold gains: upper 95 % limit.", "best", "gain_high"),
    ("average_precision", "Average precision (area under the precision-recall curve).", "average_precision", "value"),
    ("gini", "Gini coefficient: 2 AUC - 1.", "gini", "value"),
    ("ks", "Greatest difference of the true and the false positive rate.", "ks", "value"),
)
_OF_THRESHOLD = {
    "value": "Value of one prediction by --cost, at the best threshold and at the one in use.",
    "precision": "Precision at a threshold.",
    "recall": "Recall at a threshold.",
    "f1": "F1 at a threshold.",
}
_USES = {"best": "best", "current": "in use"}


def exposition(report: Report) -> str:
    """Return the gauges of a report. A task without thresholds has none."""
    return gauges.exposition(PREFIX, {"target": report["target"]}, _gauges(report))


def _gauges(report: Report) -> Iterator[Gauge]:
    tasks = [task for task in report["tasks"] if "thresholds" in task]
    for name, meaning, part, key in _OF_TASK:
        yield Gauge(name, meaning, ("scorer",), [((task["scorer"],), task[part].get(key)) for task in tasks])
    for name, meaning in _OF_THRESHOLD.items():
        figures = [((task["scorer"], use), task[part].get(name)) for task in tasks for part, use in _USES.items()]
        yield Gauge(name, meaning, ("scorer", "threshold"), figures)
    yield Gauge("documents", "Scored documents.", ("scorer",), [((task["scorer"],), task["n"]) for task in tasks])
    yield gauges.made_at()
