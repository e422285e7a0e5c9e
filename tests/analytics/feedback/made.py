"""Synthetic predictions for the tests of feedback: arrays, and the cells that the search engine would make of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from request_logger.analytics.feedback.cells import SCORE_BIN, Cell, Cells, Sums

Values = Any


def sums(values: Values) -> Sums:
    return Sums(len(values), float(np.sum(values)), float(np.sum(np.square(values))))


def cells_of(
    said: Sequence[str], truth: Sequence[str | None], bins: Sequence[int], confidence: Values, name: str = SCORE_BIN
) -> Cells:
    """The cells of predictions; a truth of None is an unknown one."""
    confidence = np.asarray(confidence)
    found = []
    for label, number in sorted(set(zip(said, bins, strict=True))):
        own = [k for k in range(len(said)) if said[k] == label and bins[k] == number]
        known = [k for k in own if truth[k] is not None]
        truths: dict[str, int] = {}
        for k in known:
            truths[str(truth[k])] = truths.get(str(truth[k]), 0) + 1
        correct = [k for k in known if truth[k] == label]
        parts = (sums(confidence[chosen]) for chosen in (own, known, correct))
        found.append(Cell(label, number, len(own), truths, *parts))
    return Cells(found, name)
