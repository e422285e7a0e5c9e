"""The edit distance (Levenshtein) of sequences, fast enough for long texts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def edit_distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Return the least number of insertions, deletions and substitutions that turn one sequence into the other.

    The sequences are texts or lists of words. The algorithm is bit-parallel: two integers of ``len(first)`` bits hold
    the differences between neighbouring cells of a column of the dynamic programming table (Myers 1999, J. ACM 46(3),
    in the form of Hyyrö 2003 for the distance between whole sequences), so it takes O(len(second)) operations on long
    integers.
    """
    if len(first) < len(second):
        first, second = second, first
    if not second:
        return len(first)
    where: dict[Hashable, int] = {}
    for position, item in enumerate(first):
        where[item] = where.get(item, 0) | (1 << position)
    last = 1 << (len(first) - 1)
    mask = (last << 1) - 1
    rises, falls = mask, 0
    distance = len(first)
    for item in second:
        matches = where.get(item, 0)
        diagonal = (((matches & rises) + rises) ^ rises) | matches | falls
        across_rises = falls | ~(diagonal | rises)
        across_falls = rises & diagonal
        if across_rises & last:
            distance += 1
        elif across_falls & last:
            distance -= 1
        across_rises = (across_rises << 1) | 1
        rises = ((across_falls << 1) | ~(diagonal | across_rises)) & mask
        falls = across_rises & diagonal & mask
    return distance
