"""The answers to the needs of the confusion matrix's metrics, for counts that are not from the search engine."""

from __future__ import annotations

from collections.abc import Iterable

from request_logger.analytics.queries import Answers
from scorers.classification import CELLS, MATRIX


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
