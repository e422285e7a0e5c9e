"""Distances of two distributions that are counted in the same cells, and what chance alone gives. Pure code.

Formulas, sources and assumptions: docs/drift.md. The tests compare them with scipy and Evidently.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from request_logger.analytics import chi_squared

# The share of an empty cell, whose logarithm would be infinite: as in Evidently.
EMPTY = 1e-4
# Cochran's rule: cells that expect fewer documents are merged, since their counts are not chi-squared distributed.
LEAST_EXPECTED = 5
# A value has a cell because the reference has it often, so that it is less frequent elsewhere: much less, if only
# chance made it frequent. With a cell for rarer values, most texts with many of them would be said to have drifted.
LEAST_CHOSEN = 20

Counts = Sequence[float]


def psi(reference: Counts, current: Counts) -> float:
    """Return the population stability index: the sum of (q - p) ln(q / p), where an empty cell has the share EMPTY."""
    pairs = [(p or EMPTY, q or EMPTY) for p, q in zip(_shares(reference), _shares(current), strict=True)]
    return math.fsum((q - p) * math.log(q / p) for p, q in pairs)


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """Return the Jensen-Shannon distance, the root of the divergence to base 2: from 0 (equal) to 1 (disjoint)."""
    terms = []
    for p, q in zip(_shares(reference), _shares(current), strict=True):
        terms += [share * math.log2(2 * share / (p + q)) for share in (p, q) if share]
    return math.sqrt(max(math.fsum(terms) / 2, 0.0))


def l_infinity(reference: Counts, current: Counts) -> float:
    """Return the largest difference of a cell's shares."""
    return max(abs(q - p) for p, q in zip(_shares(reference), _shares(current), strict=True))


def kolmogorov_smirnov(reference: Counts, current: Counts) -> float:
    """Return the largest difference of the cumulated shares: a lower bound of the statistic of the values."""
    cumulated = zip(accumulate(_shares(reference)), accumulate(_shares(current)), strict=True)
    return max(abs(q - p) for p, q in cumulated)


def noise_floor(reference: Counts, current: Counts, share: float) -> float:
    """Return the PSI that equal distributions stay below with a probability of ``share``.

    Without a change PSI is about chi-squared with (cells - 1) degrees of freedom, times 1 / n + 1 / m.
    """
    cells = len(reference)
    if cells < 2:
        return 0.0
    return chi_squared.quantile(share, cells - 1) * (1 / math.fsum(reference) + 1 / math.fsum(current))


def homogeneity(reference: Counts, current: Counts) -> float:
    """Return the p-value of Pearson's chi-squared test that both are from the same distribution; 1 for one cell."""
    n, m = math.fsum(reference), math.fsum(current)
    terms = []
    for a, b in zip(reference, current, strict=True):
        pooled = (a + b) / (n + m)
        if pooled:
            terms += [(a - n * pooled) ** 2 / (n * pooled), (b - m * pooled) ** 2 / (m * pooled)]
    cells = len(terms) // 2
    return chi_squared.above(math.fsum(terms), cells - 1) if cells > 1 else 1.0


def merged_neighbours(reference: Counts, current: Counts) -> list[list[int]]:
    """Return groups of adjacent cells that each expect LEAST_EXPECTED documents or more in both."""
    groups: list[list[int]] = []
    expected = _Expected(reference, current)
    for cell in range(len(reference)):
        if groups and expected.is_rare(groups[-1]):
            groups[-1].append(cell)
        else:
            groups.append([cell])
    if len(groups) > 1 and expected.is_rare(groups[-1]):
        last = groups.pop()
        groups[-1] += last
    return groups


def merged_rare(reference: Counts, current: Counts) -> list[list[int]]:
    """Return the cells as groups, where all rare ones are one: LEAST_EXPECTED or LEAST_CHOSEN documents are too few.

    The last cell, of all values without their own, is one of them where a value is there for fewer than LEAST_CHOSEN.
    """
    expected = _Expected(reference, current)
    last = len(reference) - 1
    few = {cell for cell in range(last) if reference[cell] < LEAST_CHOSEN}
    rare = [cell for cell in range(last + 1) if cell in few or (cell == last and few) or expected.is_rare([cell])]
    groups = [[cell] for cell in range(last + 1) if cell not in set(rare)]
    if rare and groups and expected.is_rare(rare):
        groups[-1] += rare
    elif rare:
        groups.append(rare)
    return groups


def summed(counts: Counts, groups: Sequence[Sequence[int]]) -> list[float]:
    """Return the counts of merged cells."""
    return [math.fsum(counts[cell] for cell in group) for group in groups]


class _Expected:
    """How many documents cells expect in the smaller of two samples if both have the same distribution."""

    def __init__(self, reference: Counts, current: Counts) -> None:
        self._pooled = [a + b for a, b in zip(reference, current, strict=True)]
        n, m = math.fsum(reference), math.fsum(current)
        self._share = min(n, m) / (n + m)

    def is_rare(self, cells: Sequence[int]) -> bool:
        return self._share * math.fsum(self._pooled[cell] for cell in cells) < LEAST_EXPECTED


def _shares(counts: Counts) -> list[float]:
    total = math.fsum(counts)
    return [count / total for count in counts]
