"""The verdict of a comparison: which group is better, its p-value, or how many more predictions are needed."""

from __future__ import annotations

import math
from typing import Any

from request_logger.analytics.intervals import Difference, mcnemar, needed_sample_size, paired_t
from request_logger.analytics.paired_samples import Pairs
from scorers.base import Metric

Report = dict[str, Any]

# The conventional significance level and power: a difference is reported with p < 0.05, and sample sizes are such that
# 80 % of comparisons detect it.
ALPHA = 0.05
POWER = 0.8


def difference_as_json(found: Difference) -> Report:
    """Return a difference as JSON."""
    return {
        "difference": found.value,
        "low": found.interval.low,
        "high": found.interval.high,
        "method": found.interval.method,
        "p_value": found.p_value,
        "test": found.test,
    }


def pair_test(found: Pairs, *, is_share: bool) -> Report | None:
    """Return the test of pairs: Student's t for the mean difference, McNemar for right and wrong answers.

    None below two pairs.
    """
    differences = [theirs - mine for mine, theirs in zip(found.a, found.b, strict=True)]
    test = paired_t(differences)
    if test is None:
        return None
    n = len(differences)
    variance = math.fsum((each - test.value) ** 2 for each in differences) / (n - 1)
    known = {"pairs": n, "way": found.way, "cut": found.cut, **difference_as_json(test), "variance": variance}
    if is_share:
        only_a, only_b = sum(each < 0 for each in differences), sum(each > 0 for each in differences)
        known |= {"only_a": only_a, "only_b": only_b, "p_value": mcnemar(only_a, only_b), "test": "McNemar"}
    return known


def verdict(
    names: tuple[str, str], metric: Metric, own: Report, pairs: Report | None, variance: float | None
) -> Report:
    """Return which group is better by the deciding metric, or how many more predictions are needed to tell.

    ``own`` is the metric's row of both groups, ``variance`` the sum of their per-document variances. Pairs decide if
    they include at least half of the smaller group. ``needed`` is the size per group (or the number of pairs) that
    detects a difference as large as the observed one with a power of 80 %.
    """
    have = min(own[side].get("n", 0) for side in "ab")
    by_pairs = pairs is not None and 2 * pairs["pairs"] >= have
    used = pairs if pairs is not None and by_pairs else own
    change, p_value = used["difference"], used["p_value"]
    found: Report = {"metric": metric.name, "by": "pairs" if by_pairs else "groups", "p_value": p_value}
    if p_value < ALPHA and change:
        found["differ"] = True
        if metric.higher_is_better is not None:
            found["better"] = names[1] if (change > 0) == metric.higher_is_better else names[0]
        return found
    found["differ"] = False
    spread = used["variance"] if by_pairs else variance
    total = needed_sample_size(change, spread, POWER, 1 - ALPHA) if spread else None
    if total is not None:
        found["needed"] = total
        found["more"] = max(total - (used["pairs"] if by_pairs else have), 1)
    return found
