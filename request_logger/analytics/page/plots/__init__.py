"""The plots of a report, each a picture with a title, a caption and a table of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from request_logger.analytics.page.plots import groups, numbers, over_time, scores
from request_logger.analytics.page.plots.drift import of_drift
from request_logger.analytics.page.plots.matrix import Link, confusion_matrix
from request_logger.analytics.page.plots.plot import Plot, Report

__all__ = ["Link", "Plot", "of_drift", "of_report", "of_task"]


def of_report(report: Report) -> Iterator[Plot]:
    """Yield the plots over all documents: feedback coverage and delay."""
    yield groups.coverage(report)
    if report.get("coverage_over_time"):
        yield from over_time.coverage(report)
    if report.get("delay", {}).get("points"):
        yield over_time.delay(report)


def of_task(task: Report, key: str, link: Link | None = None) -> Iterator[Plot]:
    """Yield the plots of a task; ``key`` is unique within the page and prefixes element ids.

    ``link``: the address of what is behind a cell of the confusion matrix.
    """
    if task.get("reason"):
        # Its figures would be wrong; a confusion matrix may be there, to show why.
        return
    for name, draw in _PLOTS.items():
        if task.get(name):
            yield from draw(task, key, link)


Draw = Callable[[Report, str, Link | None], Iterator[Plot]]


def _one(draw: Callable[[Report, str], Plot | None]) -> Draw:
    """Return a function that yields the plot of another, where there is one."""

    def drawn(task: Report, key: str, _link: Link | None) -> Iterator[Plot]:
        found = draw(task, key)
        if found is not None:
            yield found

    return drawn


def _several(draw: Callable[[Report, str], Iterator[Plot]]) -> Draw:
    return lambda task, key, _link: draw(task, key)


def _matrix(task: Report, key: str, link: Link | None) -> Iterator[Plot]:
    yield confusion_matrix(task, key, link)


# By the part of the report that it is drawn from, in the order of the page.
_PLOTS: dict[str, Draw] = {
    "over_time": _one(over_time.headline),
    "confusion_matrix": _matrix,
    "over_time_by_class": _one(over_time.by_class),
    "reliability": _one(scores.reliability),
    "roc": _one(scores.roc),
    "score_histogram": _one(scores.histogram),
    "thresholds": _several(scores.of_thresholds),
    "residuals": _one(numbers.residuals),
    "errors_by_prediction": _one(numbers.errors_by_prediction),
    "predicted_actual": _one(numbers.predicted_actual),
    "by": _several(groups.of_split),
    "slices": _one(groups.slices),
    "fairness": _several(groups.fairness),
}
