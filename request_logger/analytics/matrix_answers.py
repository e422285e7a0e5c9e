"""The answers to the needs of the confusion matrix's metrics, for counts that are not from the search engine."""

from __future__ import annotations

from collections.abc import Iterable

from request_logger.analytics.queries import Answers
from scorers.base import Metric
from scorers.classification import CELLS, MATRIX, SharedValues


class MetricInputs:
    """What metrics are computed from: those with the same needs share the values, and their counts by class."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        # By the needs themselves, of which the metrics of one matrix have one or two.
        self._known: dict[int, SharedValues] = {}

    def of(self, metric: Metric) -> SharedValues:
        """Return the values of a metric's needs."""
        key = id(metric.needs)
        if key not in self._known:
            self._known[key] = SharedValues({name: self._answers[need] for name, need in metric.needs.items()})
        return self._known[key]


def matrix_answers(cells: Iterable[tuple[str, str, float]]) -> Answers:
    """Return the values of MATRIX and CELLS for the cells (true class, predicted class, documents) of a matrix."""
    matrix: dict[str, dict[str, float]] = {}
    hits: dict[str, float] = {}
    wrong: dict[str, float] = {}
    missed: dict[str, float] = {}
    n = 0.0
    for truth, predicted, count in cells:
        matrix.setdefault(truth, {})[predicted] = count
        n += count
        if truth == predicted:
            hits[truth] = count
        else:
            wrong[predicted] = wrong.get(predicted, 0) + count
            missed[truth] = missed.get(truth, 0) + count
    return {MATRIX["matrix"]: matrix, CELLS["tp"]: hits, CELLS["fp"]: wrong, CELLS["fn"]: missed, CELLS["n"]: n}


def inputs_of(cells: Iterable[tuple[str, str, float]]) -> MetricInputs:
    """Return what metrics of a matrix are computed from, for its cells."""
    return MetricInputs(matrix_answers(cells))
