"""The sums that an engine would make of some pairs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from request_logger.analytics.estimates import statistics_of
from request_logger.analytics.rollups import Moments, MomentSums, Statistic
from scorers.base import Fields, Row, Scorer
from tests.scorers.aggregate import answer


def answers_of(scorer: Scorer, truths: Any, predictions: Any, more: Iterable[Statistic] = ()) -> dict[Statistic, Any]:
    """The answers to what estimates need to know, and to ``more``; both sides are arrays of one row a pair."""
    pairs = zip(truths.tolist(), predictions.tolist(), strict=True)
    rows: list[Fields] = [scorer.score(Row(t), Row(p)) for t, p in pairs]
    answers: dict[Statistic, Any] = {}
    for statistic in (*statistics_of(scorer.metrics), *more):
        if isinstance(statistic, Moments):
            x = np.array([row[statistic.field] for row in rows if statistic.field in row], dtype=float)
            known = (x.sum(), (x * x).sum(), x.min(), x.max()) if len(x) else (0.0, 0.0, 0.0, 0.0)
            answers[statistic] = MomentSums(len(x), *map(float, known))
        else:
            answers[statistic] = answer(statistic, rows)
    return answers
