"""The difference of two independent shares: the score test with its interval, and Fisher's exact test."""

from __future__ import annotations

import math
from collections.abc import Callable

from request_logger.analytics.contrasts import ALPHA, Contrast, Difference, NoTest
from request_logger.analytics.intervals import Interval, z_of

# Cochran's rule: below this expected count in a cell, the chi-squared distribution is not that of the statistic.
LEAST_EXPECTED = 5
_RARE = NoTest(f"one of the two expects fewer than {LEAST_EXPECTED} right or wrong answers")
# Two tables are equally probable if their logarithms agree to this, as in R: these have rounding errors.
_EQUAL = 1e-7
# Halvings of [-1, 1] until the ends of an interval are exact to a double.
_HALVINGS = 60


def shares_contrast(hits_a: float, n_a: float, hits_b: float, n_b: float) -> Contrast | NoTest:
    """Return the difference of two shares, b minus a.

    In one look: Pearson's chi-squared test, which is the score test, and the interval that it implies (Mee 1984). Where
    a group expects fewer than LEAST_EXPECTED hits or misses: Fisher's exact test, with the same interval, which is
    extended to 0 where the exact test shows no difference.
    """
    if min(n_a, n_b) <= 0:
        return NoTest("one of the two has no documents that this share is of")
    pooled = (hits_a + hits_b) / (n_a + n_b)
    if pooled in (0.0, 1.0):
        return NoTest("all documents of both have the same value")
    a, b = hits_a / n_a, hits_b / n_b
    variances = a * (1 - a), b * (1 - b)
    if not any(variances):
        # All hits against all misses still has a standard error: that of the shares with one more hit and one more miss
        # in each group (Agresti and Caffo 2000).
        likely = (hits_a + 1) / (n_a + 2), (hits_b + 1) / (n_b + 2)
        variances = likely[0] * (1 - likely[0]), likely[1] * (1 - likely[1])
    is_rare = min(n_a, n_b) * min(pooled, 1 - pooled) < LEAST_EXPECTED
    low, high = score_interval(hits_a, n_a, hits_b, n_b)
    p_value, test = chi_squared(hits_a, n_a, hits_b, n_b), "chi-squared"
    if is_rare:
        p_value, test = fisher(int(hits_a), int(n_a), int(hits_b), int(n_b)), "Fisher"
        if p_value >= ALPHA:
            low, high = min(low, 0.0), max(high, 0.0)
    return Contrast(
        b - a,
        math.sqrt(variances[0] / n_a + variances[1] / n_b),
        (int(n_a), int(n_b)),
        variances,
        "two shares",
        once=Difference(b - a, Interval(low, high, "score" if not is_rare else "score, Fisher"), p_value, test),
        early=_RARE if is_rare else None,
    )


def chi_squared(hits_a: float, n_a: float, hits_b: float, n_b: float) -> float:
    """Return the p-value of Pearson's chi-squared test without continuity correction; 1 where all or none are hits."""
    pooled = (hits_a + hits_b) / (n_a + n_b)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    return math.erfc(abs(hits_b / n_b - hits_a / n_a) / error / math.sqrt(2)) if error else 1.0


def score_interval(hits_a: float, n_a: float, hits_b: float, n_b: float) -> tuple[float, float]:
    """Return the differences b minus a that the score test doesn't reject (Mee 1984; Miettinen and Nurminen 1985)."""
    z = z_of(1 - ALPHA)
    value = hits_b / n_b - hits_a / n_a

    def score(difference: float) -> float:
        variance = _constrained_variance(hits_a, n_a, hits_b, n_b, difference)
        distance = value - difference
        return distance / math.sqrt(variance) if variance > 0.0 else math.copysign(math.inf, distance)

    low = -1.0 if value <= -1.0 else _crossing(-1.0, value, lambda difference: score(difference) > z)
    high = 1.0 if value >= 1.0 else _crossing(value, 1.0, lambda difference: score(difference) >= -z)
    return low, high


def _crossing(low: float, high: float, is_before: Callable[[float], bool]) -> float:
    """Return where a condition that holds at ``low`` ends, up to ``high``."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_before(middle) else (low, middle)
    return (low + high) / 2


def _constrained_variance(hits_a: float, n_a: float, hits_b: float, n_b: float, difference: float) -> float:
    """Return the variance of b minus a with the most likely shares that differ by ``difference``.

    They are the root of a cubic equation (Farrington and Manning 1990, appendix).
    """
    ratio = n_a / n_b
    a, b = hits_a / n_a, hits_b / n_b
    third = 1 + ratio
    second = -(1 + ratio + b + ratio * a + difference * (ratio + 2))
    first = difference**2 + difference * (2 * b + ratio + 1) + b + ratio * a
    constant = -b * difference * (1 + difference)
    v = second**3 / (27 * third**3) - second * first / (6 * third**2) + constant / (2 * third)
    u = math.copysign(math.sqrt(max(second**2 / (9 * third**2) - first / (3 * third), 0.0)), v)
    cosine = max(-1.0, min(v / u**3, 1.0)) if u else 1.0
    share_b = 2 * u * math.cos((math.pi + math.acos(cosine)) / 3) - second / (3 * third)
    share_b = min(max(share_b, difference, 0.0), 1.0, 1.0 + difference)
    share_a = share_b - difference
    return share_a * (1 - share_a) / n_a + share_b * (1 - share_b) / n_b


def fisher(hits_a: int, n_a: int, hits_b: int, n_b: int) -> float:
    """Return the two-sided p-value of Fisher's exact test: the probability of all tables that are not more probable."""
    hits = hits_a + hits_b
    least, most = max(0, hits - n_b), min(hits, n_a)
    # The logarithms of the hypergeometric probabilities of least to most hits in the first group, but for a constant.
    logarithms = [0.0]
    for k in range(least, most):
        ratio = (n_a - k) * (hits - k) / ((k + 1) * (n_b - hits + k + 1))
        logarithms.append(logarithms[-1] + math.log(ratio))
    highest, observed = max(logarithms), logarithms[hits_a - least]
    weights = [math.exp(each - highest) for each in logarithms]
    rare = math.fsum(w for w, each in zip(weights, logarithms, strict=True) if each <= observed + _EQUAL)
    return min(rare / math.fsum(weights), 1.0)
