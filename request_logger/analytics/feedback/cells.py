"""The counts that all figures on the selection of feedback are computed from: predictions by label, bin and truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from scorers.probabilities import CALIBRATION_BINS, SCORE_BINS, SCORE_LOGIT_LIMIT, sigmoid


@dataclass(frozen=True, slots=True)
class Sums:
    """The number of some values, their sum and the sum of their squares."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.n + other.n, self.total + other.total, self.squares + other.squares)

    def __sub__(self, other: Sums) -> Sums:
        return Sums(self.n - other.n, self.total - other.total, self.squares - other.squares)

    @property
    def mean(self) -> float | None:
        """The mean, None without values."""
        return self.total / self.n if self.n else None

    def complement(self) -> Sums:
        """Return the sums of one minus each value."""
        return Sums(self.n, self.n - self.total, self.n - 2 * self.total + self.squares)


NO_SUMS = Sums()


@dataclass(frozen=True, slots=True)
class Cell:
    """The predictions of one label whose probability is in one bin (None: they have no probability).

    ``truths`` counts those with a truth by true class. ``confidence`` has the probabilities of the predicted class of
    all predictions, ``labelled`` those of the predictions with a truth, ``correct`` those of the correct ones.
    """

    label: str
    bin: int | None
    predictions: int
    truths: Mapping[str, int] = field(default_factory=dict)
    confidence: Sums = NO_SUMS
    labelled: Sums = NO_SUMS
    correct: Sums = NO_SUMS

    @property
    def with_truth(self) -> int:
        """The number of predictions with a truth."""
        return sum(self.truths.values())


@dataclass(frozen=True, slots=True)
class Cells:
    """All cells of a task; ``bins`` names the field that they are split by, empty without probabilities."""

    cells: Sequence[Cell]
    bins: str = ""

    @property
    def predictions(self) -> int:
        """The number of predictions."""
        return sum(cell.predictions for cell in self.cells)

    @property
    def with_truth(self) -> int:
        """The number of predictions with a truth."""
        return sum(cell.with_truth for cell in self.cells)

    @property
    def hits(self) -> int:
        """The number of correct predictions among those with a truth."""
        return sum(cell.truths.get(cell.label, 0) for cell in self.cells)

    def sums(self, name: str) -> Sums:
        """Return the sums ``confidence``, ``labelled`` or ``correct`` over all cells."""
        return total(getattr(cell, name) for cell in self.cells)

    @property
    def has_probabilities(self) -> bool:
        """Whether every prediction has the probability of its class."""
        return bool(self.cells) and self.sums("confidence").n == self.predictions


def total(sums: Iterable[Sums]) -> Sums:
    """Return the sum of some sums."""
    found = NO_SUMS
    for each in sums:
        found += each
    return found


SCORE_BIN, CALIBRATION_BIN = "score_bin", "calibration_bin"


def edges_of(bins: str, first: int, last: int) -> tuple[float, float]:
    """Return the probabilities from which and to which the bins ``first`` to ``last`` go."""
    if bins == CALIBRATION_BIN:
        return first / CALIBRATION_BINS, (last + 1) / CALIBRATION_BINS
    step = 2 * SCORE_LOGIT_LIMIT / SCORE_BINS
    low = sigmoid(first * step - SCORE_LOGIT_LIMIT) if first > 0 else 0.0
    return low, sigmoid((last + 1) * step - SCORE_LOGIT_LIMIT) if last < SCORE_BINS - 1 else 1.0
