"""Chooses how documents are split: by the values of a field or by ranges of it, and by windows of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from request_logger.analytics.buckets import Segment, by_ranges, fill, quantile_edges, values_of
from request_logger.analytics.fields import Field
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.rollups import Statistic
from request_logger.analytics.scope import Query, Scope

# Window lengths (seconds) to choose from: the shortest that gives at most _MOST_WINDOWS points, which stay apart on a
# plot 360 wide.
_WINDOWS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "6h": 21_600, "1d": 86_400, "1w": 604_800, "month": 2_592_000}
_MOST_WINDOWS = 40
# Values of a field that a report lists; the rest is counted.
MOST_SEGMENTS = 50
# A numeric field with more distinct values is split into _RANGES ranges.
_MOST_NUMBERS = 12
_RANGES = 4


@dataclass(frozen=True, slots=True)
class Split:
    """The segments of a split by a field, by ``ranges`` or by values, and how many values and documents are in none."""

    segments: list[Segment]
    ranges: bool
    values_left_out: int = 0
    documents_left_out: int = 0


def split_by(runner: QueryRunner, scope: Scope, statistics: Sequence[Statistic], field: Field, only: Query) -> Split:
    """Return the split by the values of a field, or by ranges for a number with many values."""
    distinct = {"distinct": {"cardinality": {"field": field.path, "precision_threshold": 100}}}
    if field.is_number and runner.aggregate(scope, distinct, only)["distinct"]["value"] > _MOST_NUMBERS:
        edges = quantile_edges(runner, scope, field, _RANGES, only)
        return Split(by_ranges(runner, scope, statistics, field, edges, only), ranges=True)
    listed = values_of(runner, scope, field, only)
    rest = listed[MOST_SEGMENTS:]
    segments = fill(runner, scope, statistics, listed[:MOST_SEGMENTS], [only])
    return Split(segments, False, len(rest), sum(segment.count for segment in rest))


def window_of(runner: QueryRunner, scope: Scope, only: Query, most: int = _MOST_WINDOWS) -> str:
    """Return the shortest window that gives at most ``most`` points; empty without dates."""
    aggs = {name: {name: {"field": scope.date_field}} for name in ("min", "max")}
    found = runner.aggregate(scope, aggs, only)
    if not found or found["min"]["value"] is None:
        return ""
    span = (found["max"]["value"] - found["min"]["value"]) / 1000
    return next((name for name, seconds in _WINDOWS.items() if span <= seconds * (most - 1)), "month")
