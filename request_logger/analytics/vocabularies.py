"""Whether truths and predictions name their classes in the same words: without that no figure means anything."""

from __future__ import annotations

from collections.abc import Mapping

LEAST_PAIRS = 20
"""A model that is right in one case of four is wrong in all of 20 with a probability of 0.75**20 = 0.3 %."""

DISJOINT = (
    "no true label was ever predicted, and no predicted label was ever true: the two sides seem to name the classes"
    " differently, so there are no figures"
)


def are_disjoint(matrix: Mapping[str, Mapping[str, int]] | None) -> bool:
    """Return whether the labels of truths and predictions have nothing in common.

    ``matrix`` is a confusion matrix, dict[truth, dict[prediction, count]]. One label on each side is no vocabulary: a
    model may predict one class for a while, and be wrong. Fewer than LEAST_PAIRS pairs may share none by chance.
    """
    counts = {truth: {label: n for label, n in row.items() if n} for truth, row in (matrix or {}).items()}
    truths = {truth for truth, row in counts.items() if row}
    predicted = {label for row in counts.values() for label in row}
    pairs = sum(sum(row.values()) for row in counts.values())
    return pairs >= LEAST_PAIRS and len(truths | predicted) > 2 and not truths & predicted
