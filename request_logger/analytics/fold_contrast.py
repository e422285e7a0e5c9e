"""The difference of two groups in any metric that sums give, by the jackknife over folds.

A document's `fold` follows from its request id, so the answers of two models to one request are in the same fold: the
differences without each fold in turn contain what the two have in common, for F1 or the AUC as for a mean, and no
document is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from request_logger.analytics.contrasts import Contrast, NoTest, clustered_contrast
from request_logger.analytics.estimates import value_of
from request_logger.analytics.jackknife import fold_segments, jackknife_variance, without_each
from request_logger.analytics.queries import Answers, QueryRunner
from request_logger.analytics.rollups import Statistic
from request_logger.analytics.scope import Scope
from request_logger.documents.folds import FOLDS
from scorers.base import Metric

# With fewer folds the variance between them is too uncertain.
_LEAST_FOLDS = 10
_WITHOUT = NoTest("some documents were stored without a fold: request-logger rescore adds it")
_FEW = NoTest(f"fewer than {_LEAST_FOLDS} folds have documents of both")
_UNDEFINED = NoTest("the metric is undefined without one of the folds")
_ALIKE = NoTest("the difference is the same without each fold")


@dataclass(frozen=True, slots=True)
class FoldSums:
    """The answers of a group's documents by fold (FOLDS of them, with their numbers of documents).

    ``documents`` is the size of the group, those without a fold included.
    """

    answers: tuple[Answers, ...]
    counts: tuple[int, ...]
    documents: int


def fetch_folds(runner: QueryRunner, scope: Scope, statistics: Sequence[Statistic]) -> FoldSums:
    """Return the sums of each fold, by one search. Raises what :class:`QueryRunner` raises."""
    found = fold_segments(runner, scope, statistics)
    return FoldSums(tuple(each.answers for each in found), tuple(each.count for each in found), runner.count(scope))


def folds_contrast(metric: Metric, a: FoldSums, b: FoldSums, whole: Sequence[Answers]) -> Contrast | NoTest:
    """Return b minus a with the grouped jackknife's error; ``whole`` are the answers of all documents of a and b.

    SE^2 = (k - 1) / k sum (d_(-j) - mean)^2 over the k folds, with Student's t of k - 1 degrees of freedom.
    """
    if any(sum(each.counts) < each.documents for each in (a, b)):
        return _WITHOUT
    used = [k for k in range(FOLDS) if a.counts[k] and b.counts[k]]
    if len(used) < _LEAST_FOLDS:
        return _FEW
    without = [without_each(each.answers) for each in (a, b)]
    values = [[value_of(metric, each[k]) for each in without] for k in used]
    known = [other - one for one, other in values if one is not None and other is not None]
    total = [value_of(metric, answers) for answers in whole]
    if len(known) < len(used) or total[0] is None or total[1] is None:
        return _UNDEFINED
    k, value = len(known), total[1] - total[0]
    error = math.sqrt(jackknife_variance(known))
    if not error:
        return _ALIKE
    return clustered_contrast(value, error, k, min(a.documents, b.documents), "jackknife over folds")
