"""Predicted against actual numbers, as counts in a grid: however many documents there are, one search returns it."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Query, Scope

Report = dict[str, Any]
# Cells that are 12 wide on a plot 360 wide; 576 cells are far below the buckets that a search may return.
GRID_BINS = 24
# Outside of the middle 99 % single outliers would squeeze all others into a few cells.
_PERCENTS = (0.5, 99.5)
_FIELDS = {"truth": "metrics.truth", "prediction": "metrics.prediction"}


def predicted_actual(runner: QueryRunner, scope: Scope, only: Query) -> Report | None:
    """Return the numbers of documents by ranges of truth and prediction; None if all of both are one number.

    Both have the same ``edges``; the outermost ranges also count everything beyond. Each of ``cells`` has the numbers
    of its ranges, from 0 on, and its count.
    """
    span = _span(runner, scope, only)
    if span is None:
        return None
    low, high = span
    edges = [low + (high - low) * (k / GRID_BINS) for k in range(GRID_BINS + 1)]
    if any(left >= right for left, right in pairwise(edges)):
        return None
    inner = [{"from": left, "to": right} for left, right in pairwise(edges[1:-1])]
    ranges = [{"to": edges[1]}, *inner, {"from": edges[-2]}]
    truths, predictions = ({"range": {"field": field, "ranges": ranges}} for field in _FIELDS.values())
    found = runner.aggregate(scope, {"truths": {**truths, "aggs": {"predictions": predictions}}}, only)
    # A range aggregation returns its buckets sorted by range.
    cells = [
        {"truth": row, "prediction": column, "n": inside["doc_count"]}
        for row, bucket in enumerate(found.get("truths", {}).get("buckets", []))
        for column, inside in enumerate(bucket["predictions"]["buckets"])
        if inside["doc_count"]
    ]
    return {"edges": edges, "cells": cells} if cells else None


def _span(runner: QueryRunner, scope: Scope, only: Query) -> tuple[float, float] | None:
    """Return the range of the middle of truths and predictions; None without a range that can be divided."""
    aggs = {name: {"percentiles": {"field": field, "percents": _PERCENTS}} for name, field in _FIELDS.items()}
    found = runner.aggregate(scope, aggs, only)
    values = [value for name in found for value in found[name]["values"].values()]
    known = [value for value in values if isinstance(value, (int, float)) and math.isfinite(value)]
    if not known or not math.isfinite(max(known) - min(known)):
        return None
    return min(known), max(known)
