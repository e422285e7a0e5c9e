"""The sums that an engine would make of some pairs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from request_logger.analytics.estimates import questions_of
from request_logger.analytics.rollups import Moments, Question, Spread
from scorers.base import Fields, Row, Scorer
from tests.scorers.aggregate import answer


def answers_of(scorer: Scorer, truths: Any, predictions: Any, more: Iterable[Question] = ()) -> dict[Question, Any]:
    """The answers to what estimates need to know, and to ``more``; both sides are arrays of one row a pair."""
    pairs = zip(truths.tolist(), predictions.tolist(), strict=True)
    rows: list[Fields] = [scorer.score(Row(t), Row(p)) for t, p in pairs]
    answers: dict[Question, Any] = {}
    for question in (*questions_of(scorer.metrics), *more):
        if isinstance(question, Moments):
            x = np.array([row[question.field] for row in rows if question.field in row], dtype=float)
            known = (x.sum(), (x * x).sum(), x.min(), x.max()) if len(x) else (0.0, 0.0, 0.0, 0.0)
            answers[question] = Spread(len(x), *map(float, known))
        else:
            answers[question] = answer(question, rows)
    return answers
