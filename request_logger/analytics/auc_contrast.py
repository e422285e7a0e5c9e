"""The difference of two AUCs from binned scores."""

from __future__ import annotations

import math
from collections.abc import Mapping

from request_logger.analytics.contrasts import Contrast, NoTest
from scorers.base import Bucket

# Placements of fewer positives (or negatives) have no variance to speak of; 5 is also Cochran's least for shares.
_LEAST_OF_A_CLASS = 5
# As for means: groups of unequal sizes share the placements' variances, unless the smaller group's own variance is much
# larger. DeLong's test finds differences in up to 25 % of equal groups without it. See `python -m bench.type_one`.
_UNEQUAL = 1.5
_OTHER_SPREAD = 8.0
# Above this bound (a fifth of all pairs are in one bin) the bins are too wide to estimate their own error.
_COARSE = 0.1
# How much of the error that both have in common remains in their difference. Simulated for scores in 3 to 500 bins.
_NOT_COMMON = 0.25

# Positives and negatives by bin.
Classes = Mapping[int, tuple[float, float]]


def auc_contrast(bins_a: Mapping[int, Bucket], bins_b: Mapping[int, Bucket]) -> Contrast | NoTest:
    """Return the difference of two AUCs, b minus a, by DeLong's variance (1988); ``slack`` is the bins' error.

    The variance is that of the placements: of a positive, the share of negatives below it, and of a negative, the share
    of positives above it.
    """
    a, b = _Placements(bins_a), _Placements(bins_b)
    if min(*a.sizes, *b.sizes) < _LEAST_OF_A_CLASS:
        return NoTest(f"one of the two has fewer than {_LEAST_OF_A_CLASS} positive or negative documents")
    own = a.variance(a.spreads), b.variance(b.spreads)
    unequal = any(max(pair) > _UNEQUAL * min(pair) for pair in zip(a.sizes, b.sizes, strict=True))
    used, test = own, "DeLong"
    if unequal:
        spreads = tuple(
            ((m - 1) * one + (n - 1) * other) / (m + n - 2)
            for m, n, one, other in zip(a.sizes, b.sizes, a.spreads, b.spreads, strict=True)
        )
        shared = a.variance(spreads), b.variance(spreads)
        smaller = 0 if sum(a.sizes) < sum(b.sizes) else 1
        if own[smaller] <= _OTHER_SPREAD * shared[smaller]:
            used, test = shared, "DeLong, one variance"
    sizes = int(sum(a.sizes)), int(sum(b.sizes))
    variances = used[0] * sizes[0], used[1] * sizes[1]
    return Contrast(b.area - a.area, math.sqrt(sum(used)), sizes, variances, test, slack=_slack(a, b, unequal))


def _slack(a: _Placements, b: _Placements, unequal: bool) -> float:
    """Return how far the difference may be off due to the bins.

    Both areas are too near to 1/2, so that most of the error that they have in common is not in their difference. That
    isn't known of coarse bins, whose errors are only bounds, nor of a small group against a large one (``unequal``),
    whose error is mostly chance.
    """
    if unequal or a.is_coarse or b.is_coarse or (a.area < 0.5) != (b.area < 0.5):
        return a.bin_error + b.bin_error
    return abs(a.bin_error - b.bin_error) + _NOT_COMMON * min(a.bin_error, b.bin_error)


class _Placements:
    """The AUC of binned scores, with the variances (divisor n - 1) of the placements of positives and negatives.

    ``bin_error`` is how far the area of the scores themselves may be off. Within a bin they are more often in the right
    order than not, by about as much as the bin is wide, and so wide is the share of pairs in it: the error grows with
    the square of the width. With bins of twice the width it would be four times as large, so it is a third of what the
    area then changes (Richardson's extrapolation); for coarse bins it is the bound itself.
    """

    def __init__(self, bins: Mapping[int, Bucket]) -> None:
        counts = {key: (bucket.sums["truth_positive"], float(bucket.count)) for key, bucket in bins.items()}
        classes = {key: (hits, count - hits) for key, (hits, count) in counts.items()}
        self.sizes = sum(p for p, _ in classes.values()), sum(n for _, n in classes.values())
        self.area, self.bin_error, self.spreads = math.nan, math.nan, (math.nan, math.nan)
        self.is_coarse = True
        if min(self.sizes) < 2:
            return
        above, below = self.sizes[0], 0.0
        placed: list[tuple[float, float, float, float]] = []
        for key in sorted(classes):
            p, n = classes[key]
            above -= p
            placed.append((p, (below + n / 2) / self.sizes[1], n, (above + p / 2) / self.sizes[0]))
            below += n
        self.area, bound = _area(classes)
        change = max(abs(self.area - _area(_doubled(classes, start))[0]) for start in (0, 1))
        self.is_coarse = bound > _COARSE
        self.bin_error = bound if self.is_coarse else min(change / 3, bound)
        self.spreads = (
            math.fsum(p * (place - self.area) ** 2 for p, place, _, _ in placed) / (self.sizes[0] - 1),
            math.fsum(n * (place - self.area) ** 2 for _, _, n, place in placed) / (self.sizes[1] - 1),
        )

    def variance(self, spreads: tuple[float, ...]) -> float:
        """Return the AUC's variance with these variances of placements."""
        return sum(spread / size for spread, size in zip(spreads, self.sizes, strict=True))


def _area(classes: Classes) -> tuple[float, float]:
    """Return the area with ties counted half, and its greatest error due to these."""
    below = ordered = tied = positives = 0.0
    for key in sorted(classes):
        p, n = classes[key]
        ordered += p * below
        tied += p * n
        below += n
        positives += p
    pairs = positives * below
    return (ordered + tied / 2) / pairs, tied / 2 / pairs


def _doubled(classes: Classes, start: int) -> dict[int, tuple[float, float]]:
    """Return the counts in bins of twice the width."""
    found: dict[int, tuple[float, float]] = {}
    for key, (p, n) in classes.items():
        known = found.get((key + start) // 2, (0.0, 0.0))
        found[(key + start) // 2] = known[0] + p, known[1] + n
    return found
