"""Detects truths and predictions that name their classes differently, which would make all figures meaningless."""

from __future__ import annotations

from collections.abc import Mapping

LEAST_PAIRS = 20
"""Fewer disjoint pairs may be chance: with 25 % accuracy, 20 wrong pairs in a row have probability 0.75**20 = 0.3 %."""

DISJOINT = (
    "no true label was ever predicted, and no predicted label was ever true: truths and predictions seem to name the"
    " classes differently, so there are no figures"
)


def are_disjoint(matrix: Mapping[str, Mapping[str, int]] | None) -> bool:
    """Return whether truths and predictions have no label in common.

    ``matrix`` is a confusion matrix, dict[truth, dict[prediction, count]]. False with one label on each side, since a
    model may predict one class for a while and be wrong, and with fewer than LEAST_PAIRS pairs.
    """
    counts = {truth: {label: n for label, n in row.items() if n} for truth, row in (matrix or {}).items()}
    truths = {truth for truth, row in counts.items() if row}
    predicted = {label for row in counts.values() for label in row}
    pairs = sum(sum(row.values()) for row in counts.values())
    return pairs >= LEAST_PAIRS and len(truths | predicted) > 2 and not truths & predicted
