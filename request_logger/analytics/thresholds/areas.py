"""Average precision, Gini and KS from bins of the score, with the bounds that binning leaves. Pure code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from request_logger.analytics.thresholds.cells import Array, by_threshold


@dataclass(frozen=True, slots=True)
class Bounded:
    """A figure of the bins; that of the scores themselves is between ``least`` and ``most``."""

    value: float
    least: float
    most: float


def average_precision(positives: Array, negatives: Array) -> Bounded | None:
    """Return the sum over thresholds of (recall gained) x precision; None without positives.

    The bins' own is that of scores that are equal within a bin. Of other scores the order within a bin is unknown. With
    k positives and f negatives from its score on, a positive adds k / (k + f) / P: at most with all of the bin's
    positives and none of its negatives, at least as one of distinct scores below all negatives of the bin.
    """
    total = positives.sum()
    if not total:
        return None
    value = least = most = 0.0
    tp = fp = 0.0
    for p, n in zip(positives[::-1].tolist(), negatives[::-1].tolist(), strict=True):
        if p:
            ranks = tp + np.arange(1.0, p + 1)
            most += p * (tp + p) / (tp + p + fp)
            least += float((ranks / (ranks + fp + n)).sum())
            value += p * (tp + p) / (tp + p + fp + n)
        tp, fp = tp + p, fp + n
    return Bounded(value / float(total), least / float(total), most / float(total))


def kolmogorov_smirnov(positives: Array, negatives: Array) -> tuple[Bounded, int] | None:
    """Return the greatest distance of TPR and FPR, and the edge where it is; None without both classes.

    The bins' own is the least that it can be; within a bin it can't exceed the distance of the TPR with all of the
    bin's positives and the FPR without its negatives, or the reverse.
    """
    if not positives.sum() or not negatives.sum():
        return None
    cells = by_threshold(positives, negatives)
    tpr, fpr = cells.tp / cells.tp[0], cells.fp / cells.fp[0]
    distances = np.abs(tpr - fpr)
    edge = int(distances.argmax())
    most = max(float((tpr[:-1] - fpr[1:]).max()), float((fpr[:-1] - tpr[1:]).max()))
    value = float(distances[edge])
    return Bounded(value, value, max(most, value)), edge
