"""The confusion matrix of a page: all cells of few classes, or the largest confusions of many."""

from __future__ import annotations

from dataclasses import dataclass

# Larger matrices don't fit on the page.
MOST_LABELS = 12
_MOST_CONFUSIONS = 20

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its classes, its documents, and their share of the documents with this truth."""

    truth: str
    answer: str
    count: int
    share: float

    @property
    def tenth(self) -> int:
        """The share in tenths, for the cell's shade."""
        return round(10 * self.share)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix by row; without rows for many classes, which have ``confusions``, the most frequent wrong answers."""

    labels: list[str]
    rows: list[tuple[str, list[Cell]]]
    confusions: list[Cell]


def matrix_of(counts: Counts) -> Matrix | None:
    """Return the matrix of the counts by truth, then by answer; None without any."""
    labels = sorted({*counts, *(label for row in counts.values() for label in row)})
    if not labels:
        return None
    if len(labels) > MOST_LABELS:
        wrong = [_cell(counts, truth, answer) for truth, row in counts.items() for answer in row if answer != truth]
        wrong.sort(key=lambda cell: (-cell.count, cell.truth, cell.answer))
        return Matrix(labels, [], wrong[:_MOST_CONFUSIONS])
    return Matrix(labels, [(truth, [_cell(counts, truth, answer) for answer in labels]) for truth in labels], [])


def _cell(counts: Counts, truth: str, answer: str) -> Cell:
    row = counts.get(truth, {})
    count = row.get(answer, 0)
    return Cell(truth, answer, count, count / (sum(row.values()) or 1))
