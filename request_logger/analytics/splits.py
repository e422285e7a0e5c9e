"""Chooses how documents are split: by the values of a field or by ranges of it, and by windows of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from request_logger.analytics.buckets import Segment, by_ranges, fill, quantile_edges, values_of
from request_logger.analytics.fields import Field
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.rollups import Statistic
from request_logger.analytics.scope import Query, Scope
from request_logger.analytics.selection import any_of, having, without

# Window lengths (seconds) to choose from: the shortest that gives at most MOST_WINDOWS points, which stay apart on a
# plot 360 wide.
_WINDOWS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "6h": 21_600, "1d": 86_400, "1w": 604_800, "month": 2_592_000}
MOST_WINDOWS = 40
# Values of a field that a report lists; the rest is counted.
MOST_SEGMENTS = 50
# A numeric field with more distinct values is split into _RANGES ranges.
_MOST_NUMBERS = 12
_RANGES = 4
# Values of each of two fields that are crossed: as many pairs are counted as 400 by eight searches.
_MOST_CROSSED = 20
BETWEEN = " x "
"""What is between the two values, and the two names, of a crossing."""


@dataclass(frozen=True, slots=True)
class Split:
    """The segments of a split by a field, by ``ranges`` or by values, and how many values and documents are in none."""

    segments: list[Segment]
    ranges: bool
    values_left_out: int = 0
    documents_left_out: int = 0


def split_by(
    runner: QueryRunner,
    scope: Scope,
    statistics: Sequence[Statistic],
    field: Field,
    only: Query,
    *,
    across: Field | None = None,
) -> Split:
    """Return the split by the values of a field, or by ranges for a number with many values.

    With ``across`` by the pairs of values of both.
    """
    if across is not None:
        return _crossed(runner, scope, statistics, (field, across), only)
    distinct = {"distinct": {"cardinality": {"field": field.path, "precision_threshold": 100}}}
    if field.is_number and runner.aggregate(scope, distinct, only)["distinct"]["value"] > _MOST_NUMBERS:
        edges = quantile_edges(runner, scope, field, _RANGES, only)
        return Split(by_ranges(runner, scope, statistics, field, edges, only), ranges=True)
    listed = values_of(runner, scope, field, only)
    rest = listed[MOST_SEGMENTS:]
    segments = fill(runner, scope, statistics, listed[:MOST_SEGMENTS], [only])
    return Split(segments, False, len(rest), sum(segment.count for segment in rest))


def _crossed(
    runner: QueryRunner, scope: Scope, statistics: Sequence[Statistic], fields: Sequence[Field], only: Query
) -> Split:
    """Return the split by pairs of values, the most frequent first."""
    sides = [split_by(runner, scope, [], field, only) for field in fields]
    pairs = [
        Segment((one.key, other.key), f"{one.label}{BETWEEN}{other.label}", 0, having(one.only, other.only), {})
        for one in sides[0].segments[:_MOST_CROSSED]
        for other in sides[1].segments[:_MOST_CROSSED]
    ]
    counted = [each for each in fill(runner, scope, [], pairs, [only]) if each.count]
    listed = sorted(counted, key=lambda each: -each.count)
    segments = fill(runner, scope, statistics, listed[:MOST_SEGMENTS], [only])
    left_out = runner.count(scope, only, without(any_of(*(each.only for each in segments)))) if segments else 0
    values = sum(side.values_left_out + len(side.segments[_MOST_CROSSED:]) for side in sides)
    rest = len(listed) - len(segments) + values
    return Split(segments, any(side.ranges for side in sides), rest, left_out)


def window_of(runner: QueryRunner, scope: Scope, only: Query) -> str:
    """Return the shortest window that gives at most MOST_WINDOWS points; empty without dates."""
    return window_for(span_of(runner, scope, only))


def span_of(runner: QueryRunner, scope: Scope, only: Query) -> float | None:
    """Return the seconds from the first to the last date; None without dates."""
    aggs = {name: {name: {"field": scope.date_field}} for name in ("min", "max")}
    found = runner.aggregate(scope, aggs, only)
    if not found or found["min"]["value"] is None:
        return None
    seconds: float = (found["max"]["value"] - found["min"]["value"]) / 1000
    return seconds


def window_for(span: float | None, most: int = MOST_WINDOWS) -> str:
    """Return the shortest window that gives at most ``most`` points within a span (seconds); empty without one."""
    if span is None:
        return ""
    return next((name for name, seconds in _WINDOWS.items() if span <= seconds * (most - 1)), "month")
