"""The difference of two models over pairs of predictions: Student's t, McNemar's test for right and wrong answers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from request_logger.analytics import t_distribution
from request_logger.analytics.contrasts import ALPHA, Contrast, Difference, NoTest, clustered_contrast
from request_logger.analytics.intervals import EXACT_LIMIT, Interval, mcnemar, wilson
from request_logger.analytics.paired_samples import Pairs

# Discordant pairs below which the differences are too few for a normal distribution.
_LEAST_DISCORDANT = 10
# Fewer clusters have no variance to speak of; folds have the same limit.
_LEAST_REQUESTS = 10
_ALIKE = NoTest("all pairs differ by the same amount")


def pairs_contrast(pairs: Pairs, *, is_share: bool) -> Contrast | NoTest:
    """Return the mean difference of pairs, b minus a.

    ``is_share``: the values are 0 and 1. In one look these are tested by McNemar's exact test; the interval is that of
    the share of discordant pairs that favour b (Clopper and Pearson's), which excludes a half exactly where the test
    finds a difference. Pairs of one batch belong together: then the requests are the sample, and the error is that of
    their sums (the cluster-robust one, G / (G - 1) sum of squared sums / n^2 of G requests).
    """
    differences = [theirs - mine for mine, theirs in zip(pairs.a, pairs.b, strict=True)]
    n = len(differences)
    if n < 2:
        return NoTest("the test needs at least 2 pairs")
    value = math.fsum(differences) / n
    variance = math.fsum((each - value) ** 2 for each in differences) / (n - 1)
    if not variance:
        return _ALIKE
    if len(set(pairs.requests)) < len(pairs.requests):
        return _by_request(pairs.requests, differences, value)
    error = math.sqrt(variance / n)
    if not is_share:
        return Contrast(value, error, (n,), (variance,), "paired t", n - 1)
    only_a, only_b = discordant(pairs)
    early = None
    if only_a + only_b < _LEAST_DISCORDANT:
        early = NoTest(f"the two differ in fewer than {_LEAST_DISCORDANT} pairs")
    return Contrast(
        value, error, (n,), (variance,), "paired shares", n - 1, once=_mcnemar(only_a, only_b, n), early=early
    )


def _by_request(requests: Sequence[str], differences: Sequence[float], value: float) -> Contrast | NoTest:
    sums: dict[str, float] = {}
    for request, each in zip(requests, differences, strict=True):
        sums[request] = sums.get(request, 0.0) + each - value
    k, n = len(sums), len(differences)
    if k < _LEAST_REQUESTS:
        return NoTest(
            f"the pairs are rows of batches, and the test needs at least {_LEAST_REQUESTS} of these, found {k}"
        )
    error = math.sqrt(k / (k - 1) * math.fsum(each * each for each in sums.values())) / n
    return clustered_contrast(value, error, k, n, "paired t by request") if error else _ALIKE


def discordant(pairs: Pairs) -> tuple[int, int]:
    """Return the number of pairs in which only a is right, and only b."""
    differences = [theirs - mine for mine, theirs in zip(pairs.a, pairs.b, strict=True)]
    return sum(each < 0 for each in differences), sum(each > 0 for each in differences)


def _mcnemar(only_a: int, only_b: int, n: int) -> Difference:
    some = only_a + only_b
    if some > EXACT_LIMIT:
        found = wilson(only_b, some)
        assert found is not None
        low, high = found.low, found.high
    else:
        low, high = clopper_pearson(only_b, some)
    value = (only_b - only_a) / n
    interval = Interval((2 * low - 1) * some / n, (2 * high - 1) * some / n, "McNemar")
    return Difference(value, interval, mcnemar(only_a, only_b), "McNemar")


def clopper_pearson(hits: int, n: int) -> tuple[float, float]:
    """Return the shares that the exact binomial test doesn't reject (Clopper and Pearson 1934), for ``n`` > 0."""
    low = 0.0 if hits == 0 else _beta_quantile(ALPHA / 2, hits, n - hits + 1)
    high = 1.0 if hits == n else _beta_quantile(1 - ALPHA / 2, hits + 1, n - hits)
    return low, high


def _beta_quantile(level: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    # Halvings of [0, 1] until the ends agree to a double.
    for _ in range(60):
        middle = (low + high) / 2
        if t_distribution.incomplete_beta(middle, 1 - middle, a, b) < level:
            low = middle
        else:
            high = middle
    return (low + high) / 2
