"""Corrections of p-values for the number of tests. Pure code."""

from __future__ import annotations

from collections.abc import Sequence


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return the adjusted p-values (Benjamini and Hochberg 1995).

    Of the parts with one of at most q, a share of at most q is expected to be false.
    """
    count = len(p_values)
    adjusted = [1.0] * count
    least = 1.0
    for rank, k in enumerate(sorted(range(count), key=lambda k: p_values[k], reverse=True)):
        least = min(least, p_values[k] * count / (count - rank))
        adjusted[k] = least
    return adjusted


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the adjusted p-values (Holm 1979).

    With a probability of at most q, any of those of true hypotheses is at most q, whatever depends on what.
    """
    count = len(p_values)
    adjusted = [1.0] * count
    most = 0.0
    for rank, k in enumerate(sorted(range(count), key=lambda k: p_values[k])):
        most = max(most, min(p_values[k] * (count - rank), 1.0))
        adjusted[k] = most
    return adjusted
