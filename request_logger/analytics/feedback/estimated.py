"""Confidence-based performance estimation (CBPE): what the probabilities promise, where there are no labels. Pure code.

A prediction with probability f of its class is expected to be correct f times. That is right only as far as the
probabilities are calibrated, so that every figure is named ``estimated_...``.
"""

from __future__ import annotations

from collections.abc import Mapping

from request_logger.analytics.feedback.cells import Cells, Sums, total
from scorers.base import ratio


def estimated(cells: Cells, positive: str | None = None) -> Mapping[str, float]:
    """Return the expected metrics of all predictions; empty if one of them has no probability.

    Precision, recall and F1 are of the class ``positive`` of two classes. Without it, only the accuracy is known: the
    probabilities of the other classes are not stored.
    """
    if not cells.has_probabilities:
        return {}
    found: dict[str, float | None] = {"accuracy": cells.sums("confidence").mean}
    if positive is not None:
        said = _of(cells, positive, is_said=True)
        other = _of(cells, positive, is_said=False)
        hits = said.total
        # A prediction of the other class with probability f is a missed positive 1 - f times.
        missed = other.n - other.total
        found |= {
            "precision": ratio(hits, said.n),
            "recall": ratio(hits, hits + missed),
            "f1": ratio(2 * hits, said.n + hits + missed),
        }
    return {f"estimated_{name}": value for name, value in found.items() if value is not None}


def calibration_gap(cells: Cells) -> float | None:
    """Return mean probability minus accuracy of the predictions with a truth: positive where the model is too sure."""
    labelled = cells.sums("labelled")
    mean = labelled.mean
    return None if mean is None or labelled.n != cells.with_truth else mean - cells.hits / labelled.n


def _of(cells: Cells, positive: str, *, is_said: bool) -> Sums:
    return total(cell.confidence for cell in cells.cells if (cell.label == positive) == is_said)
