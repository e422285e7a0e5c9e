"""Ranges of about equal counts: the edges have as many digits as the numbers need."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.analytics.buckets import label_of
from request_logger.analytics.ranges import edges_of, shortest_between

RNG = np.random.default_rng(0)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def counts(values: list[float], edges: list[float]) -> list[int]:
    found = Counter(bisect_right(edges, value) for value in values)
    return [found[k] for k in range(len(edges) + 1)]


@pytest.mark.parametrize(
    "values",
    [
        [100_000.0 + k % 100 for k in range(800)],
        RNG.uniform(52.50, 52.53, 800).tolist(),
        [1_767_225_600.0 + 60 * k for k in range(800)],
        [1_767_225_600_000.0 + k for k in range(800)],
        (1e-9 * RNG.exponential(size=800)).tolist(),
        RNG.normal(-1e6, 1, 800).tolist(),
    ],
    ids=["ids", "latitudes", "seconds", "milliseconds", "tiny", "negative"],
)
def test_four_ranges_of_about_equal_counts(values: list[float]) -> None:
    """However small the spread beside the numbers; the labels of the edges differ."""
    edges = edges_of(values, 4)
    assert all(abs(n - 200) <= 10 for n in counts(values, edges))
    assert len({label_of(edge) for edge in edges}) == 3


@pytest.mark.parametrize("heavy", [0.0, 40.0, -3.5])
def test_a_frequent_value_has_a_range_of_its_own(heavy: float) -> None:
    """80 % of one value: the others are split into the ranges that are left."""
    values = [heavy] * 800 + RNG.uniform(heavy + 1, heavy + 100, 200).tolist()
    found = counts(values, edges_of(values, 4))
    assert found[0] == 800
    assert all(abs(n - 200 / 3) <= 5 for n in found[1:])


@given(st.lists(st.one_of(FINITE, st.integers(-3, 3).map(float)), max_size=60), st.integers(2, 20))
def test_edges_are_few_and_useful(values: list[float], count: int) -> None:
    """At most one less than ranges, ascending, and no range is empty."""
    edges = edges_of(values, count)
    assert len(edges) < count
    assert edges == sorted(set(edges))
    assert not values or all(counts(values, edges))


@given(st.lists(FINITE, min_size=2, max_size=2, unique=True).map(sorted))
def test_shortest_between(ends: list[float]) -> None:
    """It separates any two doubles."""
    low, high = ends
    found = shortest_between(low, high)
    assert low < found <= high
    assert label_of(found) != label_of(low)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(52.5149, 52.5163, "52.516"), (100_024.0, 100_025.0, "100025"), (0.0, 0.031, "0.03"), (-7.0, -6.4, "-6.4"),
     (-2.0, 0.0, "0"), (1_767_225_600_000.0, 1_767_225_600_001.0, "1767225600001")],
)  # fmt: skip
def test_digits(low: float, high: float, text: str) -> None:
    """As many as tell the two apart."""
    assert label_of(shortest_between(low, high)) == text
