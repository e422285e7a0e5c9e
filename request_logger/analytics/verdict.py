"""Who is better, by how much of a chance, and how many more predictions are needed where that can't be told."""

from __future__ import annotations

import math
from typing import Any

from request_logger.analytics.intervals import Difference, mcnemar, needed, paired_t
from request_logger.analytics.paired_samples import Pairs
from scorers.base import Metric

Report = dict[str, Any]

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
    """Test pairs: the mean of the differences by Student's t, and of right and wrong answers by McNemar.

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
    """Say who is better by the metric that decides, or how many more are needed to tell.

    ``own`` is the metric's row of both groups, ``variance`` the sum of the groups' variances of one document. Pairs
    decide where at least half of the smaller group is in them. ``needed`` is how many each group (or how many pairs)
    should have for a difference as large as the one seen: then four of five such comparisons tell it.
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
    total = needed(change, spread, POWER, 1 - ALPHA) if spread else None
    if total is not None:
        found["needed"] = total
        found["more"] = max(total - (used["pairs"] if by_pairs else have), 1)
    return found
