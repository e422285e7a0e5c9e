"""Splits sequences into chunks, for requests of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield slices of at most ``size`` values, in order; none for no values. ``size`` is at least 1."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
