"""Cells of a number that the reference has nothing in."""

from __future__ import annotations

import pytest

from request_logger.analytics.drift.baselines import Cells, Counts, Kind, without_empty


@pytest.mark.parametrize(
    ("counts", "edges", "kept"),
    [
        ((3, 4, 5, 6), (1.0, 2.0, 3.0), (3, 4, 5, 6)),
        ((3, 0, 5, 6), (2.0, 3.0), (3, 5, 6)),
        ((0, 0, 5, 6), (3.0,), (5, 6)),
        ((3, 4, 0, 0), (1.0,), (3, 4)),
        ((0, 4, 0, 0), (), (4,)),
        ((0, 0, 0, 0), (1.0, 2.0, 3.0), (0, 0, 0, 0)),
    ],
)
def test_empty_ranges_join_their_neighbours(
    counts: tuple[int, ...], edges: tuple[float, ...], kept: tuple[int, ...]
) -> None:
    """No document changes its side of an edge that is left, and all are counted."""
    cells = Cells("x", Kind.NUMBER, (1.0, 2.0, 3.0), 0.0, 4.0)
    found, counted = without_empty(cells, Counts(18, 18, 0, counts))
    assert (found.edges, counted.cells) == (edges, kept)
    assert len(counted.cells) == found.size


def test_values_keep_their_cells() -> None:
    cells = Cells("x", Kind.CATEGORY, values=("a", "b"))
    counts = Counts(5, 5, 0, (3, 2, 0))
    assert without_empty(cells, counts) == (cells, counts)
