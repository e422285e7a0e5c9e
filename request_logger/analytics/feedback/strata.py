"""Groups cells to strata that have enough predictions with a truth each. Pure code."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from request_logger.analytics.feedback.cells import Cell

# Within one predicted label, strata of about equal size: ten take most of the difference between the labelled and the
# unlabelled predictions of a score (Cochran 1968 found 5 to remove nine tenths of it).
GROUPS = 10
# The variance within a stratum is estimated from its truths: below five it is mostly chance.
LEAST_TRUTHS = 5


@dataclass(frozen=True, slots=True)
class Stratum:
    """Predictions that are alike: their label (empty: rare ones), their bins, their number, and the known pairs.

    ``pairs`` counts those with a truth by predicted and true label.
    """

    label: str
    bins: tuple[int, int] | None
    predictions: int
    pairs: Mapping[tuple[str, str], int]

    @property
    def with_truth(self) -> int:
        """The number of predictions with a truth."""
        return sum(self.pairs.values())


@dataclass(frozen=True, slots=True)
class Strata:
    """The strata, and the share of the predictions whose stratum had too few truths and was merged with another."""

    strata: Sequence[Stratum]
    merged: float


IsEnough = Callable[[Stratum], bool]


def has_truths(stratum: Stratum) -> bool:
    """Return whether a stratum has enough truths to stand for its predictions."""
    return stratum.with_truth >= LEAST_TRUTHS


def strata_of(cells: Iterable[Cell], is_enough: IsEnough = has_truths) -> Strata:
    """Return the strata: per label up to GROUPS ranges of bins, merged until each is enough; none if all are too small.

    Neighbouring ranges of one label are merged first, then what remains of all rare labels.
    """
    by_label: dict[str, list[Cell]] = {}
    for cell in cells:
        by_label.setdefault(cell.label, []).append(cell)
    done: list[Stratum] = []
    rare: list[Stratum] = []
    merged = predictions = 0
    for label in sorted(by_label):
        groups = _ranges(by_label[label])
        predictions += sum(group.predictions for group in groups)
        merged += sum(group.predictions for group in groups if not is_enough(group))
        groups = _merged(groups, is_enough)
        (done if all(map(is_enough, groups)) else rare).extend(groups)
    if rare:
        rest = _together(rare)
        if is_enough(rest):
            done.append(rest)
        elif done:
            smallest = min(range(len(done)), key=lambda k: (done[k].with_truth, k))
            done[smallest] = _together([done[smallest], rest])
    return Strata(done, merged / predictions if predictions else 0.0)


def _ranges(cells: Sequence[Cell]) -> list[Stratum]:
    """Return up to GROUPS ranges of bins with about as many predictions each."""
    ordered = sorted(cells, key=lambda cell: -1 if cell.bin is None else cell.bin)
    size = math.ceil(sum(cell.predictions for cell in ordered) / GROUPS)
    groups: list[list[Cell]] = [[]]
    for cell in ordered:
        if sum(each.predictions for each in groups[-1]) >= size:
            groups.append([])
        groups[-1].append(cell)
    return [_stratum(group) for group in groups]


def _stratum(cells: Sequence[Cell]) -> Stratum:
    bins = [cell.bin for cell in cells if cell.bin is not None]
    label = cells[0].label
    pairs: dict[tuple[str, str], int] = {}
    for cell in cells:
        for truth, count in cell.truths.items():
            pairs[label, truth] = pairs.get((label, truth), 0) + count
    span = (min(bins), max(bins)) if bins else None
    return Stratum(label, span, sum(cell.predictions for cell in cells), pairs)


def _merged(groups: list[Stratum], is_enough: IsEnough) -> list[Stratum]:
    """Merge each range that isn't enough with the smaller one of its neighbours, as long as there are two."""
    groups = list(groups)
    while len(groups) > 1:
        small = next((k for k, group in enumerate(groups) if not is_enough(group)), None)
        if small is None:
            break
        sides = [k for k in (small - 1, small + 1) if 0 <= k < len(groups)]
        side = min(sides, key=lambda k: groups[k].predictions)
        first = min(small, side)
        groups[first : first + 2] = [_together(groups[first : first + 2])]
    return groups


def _together(strata: Sequence[Stratum]) -> Stratum:
    pairs: dict[tuple[str, str], int] = {}
    for stratum in strata:
        for pair, count in stratum.pairs.items():
            pairs[pair] = pairs.get(pair, 0) + count
    labels = {stratum.label for stratum in strata}
    spans = [stratum.bins for stratum in strata if stratum.bins is not None]
    span = (min(low for low, _ in spans), max(high for _, high in spans)) if spans and len(labels) == 1 else None
    return Stratum(labels.pop() if len(labels) == 1 else "", span, sum(s.predictions for s in strata), pairs)
