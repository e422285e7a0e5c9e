"""The interval of the expected calibration error (ECE), and how much of it is chance.

Chance alone gives the most carefully calibrated model an ECE over 0: in each bin, the observed share differs from the
mean prediction by about sqrt(2 n p (1 - p) / pi) / n. So the observed value is not in the middle of its interval.
"""

from __future__ import annotations

import math

from request_logger.analytics.intervals import Interval
from request_logger.analytics.queries import Answers
from request_logger.analytics.shares import INDEPENDENT, Dependence
from scorers.base import Bucket, Metric, SumBy

# The mean of abs(x), and the variance of abs(x), for a standard normal x.
_MEAN = math.sqrt(2 / math.pi)
_VARIANCE = 1 - 2 / math.pi


def calibration_interval(metric: Metric, answers: Answers, together: Dependence = INDEPENDENT) -> Interval | None:
    """Return the interval of an ECE; None for another metric, and without documents.

    By the triangle inequality, the observed value differs from the true one by at most the sum of the bins' deviations
    by chance. The interval is the value plus and minus a limit that this sum exceeds with a probability under 5 %.
    """
    found = _noise(metric, answers)
    value = metric.compute({key: answers[need] for key, need in metric.needs.items()})
    if found is None or not isinstance(value, float):
        return None
    mean, deviation = found
    # Student's quantile for one side of 95 %: about 1.64, and 1.73 of 19 degrees of freedom.
    side = together.quantile() * 1.645 / 1.96
    limit = math.sqrt(together.effect) * (mean + side * deviation)
    return Interval(max(value - limit, 0.0), min(value + limit, 1.0), "bound on chance", deviation)


def expected_by_chance(metric: Metric, answers: Answers) -> float | None:
    """Return the ECE that a perfectly calibrated model would have had on average; None for another metric."""
    found = _noise(metric, answers)
    return found[0] if found else None


def _noise(metric: Metric, answers: Answers) -> tuple[float, float] | None:
    """Return mean and standard deviation of the sum of the bins' deviations by chance."""
    need = metric.needs.get("bins")
    if not isinstance(need, SumBy) or need.by != "calibration_bin" or len(need.fields) != 2:
        return None
    bins: dict[int, Bucket] = answers[need]
    n = sum(bucket.count for bucket in bins.values())
    if not n:
        return None
    spreads = []
    for bucket in bins.values():
        # Of the two estimates of the bin's probability, the one with the larger variance; at least that of half a hit.
        least = 0.5 / (bucket.count + 1)
        shares = (min(max(bucket.sums[field] / bucket.count, least), 1 - least) for field in need.fields)
        spreads.append(max(bucket.count * share * (1 - share) for share in shares))
    mean = _MEAN * math.fsum(math.sqrt(spread) for spread in spreads) / n
    return mean, math.sqrt(_VARIANCE * math.fsum(spreads)) / n
