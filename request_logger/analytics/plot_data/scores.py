"""The scores of two classes: their histogram by truth, and the intervals of precision and recall. Pure code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from request_logger.analytics.queries import Answers
from request_logger.analytics.shares import INDEPENDENT, Dependence, share_interval
from request_logger.analytics.thresholds.cells import threshold_of
from scorers.base import Bucket, Metric, SumBy
from scorers.probabilities import CALIBRATION_BINS, SCORE_BINS

Report = dict[str, Any]
_POSITIVE = "truth_positive"
# More of the documents in the first or the last bin are scores of a rare event, whose differences it hides.
_MOST_AT_END = 0.8
# Of the bins of the logit, which are too narrow to be seen: 25 bars.
_MERGED = 4
_SHARES = {"precision": ("tp", "fp"), "recall": ("tp", "fn")}


def histogram(metrics: Sequence[Metric], answers: Answers) -> Report | None:
    """Return the numbers of positives and negatives by range of the score; None without scores of two classes.

    The ranges have equal widths. Where nearly all scores would be in the first of them, or in the last, they have equal
    widths on the ``scale`` of the logit.
    """
    equal = _bins(metrics, answers, "calibration_bin")
    by_logit = _bins(metrics, answers, "score_bin")
    n = sum(bucket.count for bucket in equal.values())
    if not n or not by_logit:
        return None
    ends = (equal[key].count for key in (0, CALIBRATION_BINS - 1) if key in equal)
    if max(ends, default=0) <= _MOST_AT_END * n:
        edges = [k / CALIBRATION_BINS for k in range(CALIBRATION_BINS + 1)]
        return {"scale": "probability", "bins": list(_rows(equal, edges, 1))}
    found = [threshold_of(edge) for edge in range(0, SCORE_BINS, _MERGED)]
    return {"scale": "logit", "bins": list(_rows(by_logit, [*(each or 0.0 for each in found), 1.0], _MERGED))}


def _bins(metrics: Sequence[Metric], answers: Answers, by: str) -> dict[int, Bucket]:
    needs = (need for metric in metrics for need in metric.needs.values())
    found = (need for need in needs if isinstance(need, SumBy) and need.by == by and _POSITIVE in need.fields)
    need = next(found, None)
    bins: dict[int, Bucket] = answers.get(need, {}) if need is not None else {}
    return bins


def _rows(bins: dict[int, Bucket], edges: Sequence[float], merged: int) -> Iterator[Report]:
    for position in range(len(edges) - 1):
        inside = [bins[key] for key in range(position * merged, (position + 1) * merged) if key in bins]
        positive = int(sum(bucket.sums[_POSITIVE] for bucket in inside))
        yield {
            "from": edges[position],
            "to": edges[position + 1],
            "positive": positive,
            "negative": sum(bucket.count for bucket in inside) - positive,
        }


def with_intervals(thresholds: Report | None, together: Dependence = INDEPENDENT) -> Report | None:
    """Return the figures of thresholds with an interval of each precision and recall, each for itself."""
    if thresholds is None:
        return None
    rows = []
    for row in thresholds["thresholds"]:
        more: Report = {}
        for name, (hits, misses) in _SHARES.items():
            interval = share_interval(row[hits], row[hits] + row[misses], together)
            if interval is not None:
                more |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
        rows.append({**row, **more})
    return {**thresholds, "thresholds": rows}
