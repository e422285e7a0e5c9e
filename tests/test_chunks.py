"""Chunks of sequences: all values, in order, none longer than the size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from request_logger.common.chunks import chunks


@given(st.lists(st.integers()), st.integers(1, 20))
def test_chunks(values: list[int], size: int) -> None:
    """Only the last one may be shorter."""
    made = list(chunks(values, size))
    assert [value for chunk in made for value in chunk] == values
    assert all(len(chunk) == size for chunk in made[:-1])
    assert all(1 <= len(chunk) <= size for chunk in made)
