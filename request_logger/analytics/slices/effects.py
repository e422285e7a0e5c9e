"""The effect of a part: how much worse its mean is than that of the other documents, from sums alone. Pure code."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from request_logger.analytics.contrasts import Form, NoTest, outcome
from request_logger.analytics.mean_contrast import means_contrast
from request_logger.analytics.proportions import LEAST_EXPECTED, chi_squared, fisher, score_interval
from request_logger.analytics.rollups import MomentSums


@dataclass(frozen=True, slots=True)
class Measure:
    """The mean that parts are compared by.

    ``field``: the field of `metrics` that is averaged. ``sign``: 1 where more is worse, else -1. ``is_share``: whether
    the field has only the values 0 and 1. ``effect``: the design effect, 1 for independent documents.
    """

    name: str
    field: str
    sign: int
    is_share: bool = False
    effect: float = 1.0


@dataclass(frozen=True, slots=True)
class Effect:
    """A part's mean and that of the rest, over ``n`` and ``others`` documents.

    ``worse`` is the difference, positive where the part is worse; ``error`` is its standard error if there were none,
    ``p_value`` that of the two-sided test.
    """

    n: int
    others: int
    mean: float
    rest: float
    worse: float
    error: float
    p_value: float


def rest_of(whole: MomentSums, part: MomentSums) -> MomentSums:
    """Return the sums over all documents but a part's; the extremes are those of the whole."""
    return MomentSums(whole.n - part.n, whole.total - part.total, whole.squares - part.squares, whole.low, whole.high)


def effect_of(part: MomentSums, rest: MomentSums, measure: Measure) -> Effect | None:
    """Return the effect of a part; None where it can't be tested, as all values of one of the two are equal."""
    if not part.n or not rest.n:
        return None
    mean, others = part.total / part.n, rest.total / rest.n
    worse = measure.sign * (mean - others)
    tested = _of_share(part, rest, measure) if measure.is_share else _of_mean(part, rest, measure)
    return None if tested is None else Effect(part.n, rest.n, mean, others, worse, *tested)


def interval_of(part: MomentSums, rest: MomentSums, measure: Measure) -> tuple[float, float] | None:
    """Return the 95 % interval of how much worse a part is; None where there is none."""
    if measure.is_share:
        sizes = (rest.total, rest.n, part.total, part.n)
        ends = score_interval(*(size / measure.effect for size in sizes))
    else:
        contrast = means_contrast(rest, part)
        if isinstance(contrast, NoTest):
            return None
        found = outcome(replace(contrast, error=contrast.error * math.sqrt(measure.effect)), Form.FIXED)
        if isinstance(found, NoTest):
            return None
        ends = found.interval.low, found.interval.high
    low, high = sorted(measure.sign * end for end in ends)
    return low, high


def _of_share(part: MomentSums, rest: MomentSums, measure: Measure) -> tuple[float, float] | None:
    pooled = (part.total + rest.total) / (part.n + rest.n)
    variance = pooled * (1 - pooled) * (1 / part.n + 1 / rest.n) * measure.effect
    if variance <= 0.0:
        return None
    if min(part.n, rest.n) * min(pooled, 1 - pooled) >= LEAST_EXPECTED * measure.effect:
        hits, n, others, n_others = (each / measure.effect for each in (part.total, part.n, rest.total, rest.n))
        return math.sqrt(variance), chi_squared(others, n_others, hits, n)
    # Documents that belong together have no exact test.
    exact = fisher(int(rest.total), rest.n, int(part.total), part.n) if measure.effect == 1.0 else 1.0
    return math.sqrt(variance), exact


def _of_mean(part: MomentSums, rest: MomentSums, measure: Measure) -> tuple[float, float] | None:
    contrast = means_contrast(rest, part)
    if isinstance(contrast, NoTest):
        return None
    error = contrast.error * math.sqrt(measure.effect)
    found = outcome(replace(contrast, error=error), Form.FIXED)
    return None if isinstance(found, NoTest) else (error, found.p_value)
