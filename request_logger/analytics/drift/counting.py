"""Chooses the cells of fields from the reference, and counts documents in them: a few searches for many fields."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from request_logger.analytics.drift.baselines import Cells, Counts, Kind
from request_logger.analytics.drift.candidates import Candidate
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.ranges import edges_of
from request_logger.analytics.scope import Scope
from request_logger.analytics.selection import exists
from request_logger.common.chunks import chunks

# Ranges of a number: the usual ten, each with a tenth of the reference.
RANGES = 10
# Percentiles that the edges are chosen from: each is half a percent of the documents.
_PERCENTILES = 200
# Cells of a category, and the share of the reference's values that a value needs for its own cell.
MOST_VALUES = 50
_LEAST_SHARE = 0.005
# With more distinct values in the reference it is unknown whether a value is new.
MOST_KNOWN = 500
# New values that are listed.
_LISTED = 5
# Fields per search, which keeps it below the 10,000 buckets that old search engines allow in one answer.
_PAGE = 10


def choose_cells(runner: QueryRunner, reference: Scope, fields: Sequence[Candidate]) -> dict[str, Cells]:
    """Return the cells of each field that documents of the reference have, by path. Raises as `QueryRunner` does."""
    chosen: dict[str, Cells] = {}
    for page in chunks([each for each in fields if each.reference is not None], _PAGE):
        aggs: dict[str, Any] = {}
        for number, each in enumerate(page):
            aggs |= _values_asked(number, each)
        found = runner.aggregate(reference, aggs)
        for number, each in enumerate(page):
            cells = _cells(each, number, found)
            if cells is not None:
                chosen[each.path] = cells
    return chosen


def count_cells(runner: QueryRunner, scope: Scope, cells: Sequence[Cells]) -> dict[str, Counts]:
    """Return the counts of a scope's documents in cells, by path. Raises as `QueryRunner` does."""
    documents = runner.count(scope)
    counted: dict[str, Counts] = {}
    for page in chunks(cells, _PAGE):
        aggs: dict[str, Any] = {}
        for number, each in enumerate(page):
            aggs |= _counts_asked(number, each)
        found = runner.aggregate(scope, aggs)
        for number, each in enumerate(page):
            counted[each.field] = _counts(each, number, found, documents) if found else _none(each)
    return counted


def _values_asked(number: int, each: Candidate) -> dict[str, Any]:
    if each.reference is Kind.CATEGORY:
        return {
            # One more than is kept, to know whether these are all.
            f"values_{number}": {"terms": {"field": each.path, "size": MOST_KNOWN + 1, "shard_size": 4 * MOST_KNOWN}},
            f"total_{number}": {"value_count": {"field": each.path}},
        }
    percents = [0.0, *((k + 0.5) * 100.0 / _PERCENTILES for k in range(_PERCENTILES)), 100.0]
    return {
        f"edges_{number}": {"percentiles": {"field": each.path, "percents": percents}},
        f"low_{number}": {"min": {"field": each.path}},
        f"high_{number}": {"max": {"field": each.path}},
    }


def _cells(each: Candidate, number: int, found: Mapping[str, Any]) -> Cells | None:
    if not found:
        return None
    if each.reference is Kind.NUMBER:
        low, high = (found[f"{name}_{number}"]["value"] for name in ("low", "high"))
        if low is None or high is None:
            return None
        values = found[f"edges_{number}"]["values"].values()
        edges = edges_of([value for value in values if isinstance(value, (int, float))], RANGES)
        return Cells(each.path, Kind.NUMBER, tuple(edges), float(low), float(high))
    buckets = found[f"values_{number}"]["buckets"]
    total = found[f"total_{number}"]["value"] or 0
    if not buckets:
        return None
    texts = [str(bucket["key"]) for bucket in buckets]
    frequent = [
        text for text, bucket in zip(texts, buckets, strict=True) if bucket["doc_count"] >= _LEAST_SHARE * total
    ]
    known = tuple(texts) if len(texts) <= MOST_KNOWN else None
    return Cells(each.path, Kind.CATEGORY, values=tuple(frequent[:MOST_VALUES]), known=known)


def _counts_asked(number: int, each: Cells) -> dict[str, Any]:
    asked: dict[str, Any] = {
        f"present_{number}": {"filter": exists(each.field)},
        f"ignored_{number}": {"filter": {"term": {"_ignored": each.field}}},
    }
    if each.kind is Kind.NUMBER:
        bounds = list(pairwise((None, *each.edges, None)))
        ranges = [_range(f"c{k:02}", low, high) for k, (low, high) in enumerate(bounds) if (low, high) != (None, None)]
        ranges.append(_range("below", None, each.low))
        # Above the greatest number there is no range, and JSON has no infinity.
        if math.isfinite(least := math.nextafter(each.high, math.inf)):
            ranges.append(_range("above", least, None))
        asked[f"cells_{number}"] = {"range": {"field": each.field, "ranges": ranges}}
        asked[f"total_{number}"] = {"value_count": {"field": each.field}}
        return asked
    asked[f"total_{number}"] = {"value_count": {"field": each.field}}
    if each.values:
        terms = {"field": each.field, "size": len(each.values), "include": list(each.values)}
        asked[f"cells_{number}"] = {"terms": terms}
    if each.known is not None:
        unseen = {"field": each.field, "size": _LISTED, "exclude": list(each.known), "shard_size": MOST_KNOWN}
        asked[f"unseen_{number}"] = {"terms": unseen}
    return asked


def _range(key: str, low: float | None, high: float | None) -> dict[str, Any]:
    bounds = {name: value for name, value in (("from", low), ("to", high)) if value is not None}
    return {"key": key, **bounds}


def _counts(each: Cells, number: int, found: Mapping[str, Any], documents: int) -> Counts:
    present, ignored = (int(found[f"{name}_{number}"]["doc_count"]) for name in ("present", "ignored"))
    total = int(found[f"total_{number}"]["value"] or 0)
    by_key = {
        str(bucket["key"]): int(bucket["doc_count"]) for bucket in found.get(f"cells_{number}", _EMPTY)["buckets"]
    }
    if each.kind is Kind.NUMBER:
        cells = tuple(by_key[f"c{k:02}"] for k in range(each.size)) if each.edges else (total,)
        return Counts(documents, present, ignored, cells, by_key["below"], by_key.get("above", 0))
    own = tuple(by_key.get(value, 0) for value in each.values)
    cells = (*own, max(total - sum(own), 0))
    if each.known is None:
        return Counts(documents, present, ignored, cells)
    listed = found[f"unseen_{number}"]
    unseen = sum(int(bucket["doc_count"]) for bucket in listed["buckets"]) + int(listed.get("sum_other_doc_count", 0))
    examples = tuple(str(bucket["key"]) for bucket in listed["buckets"])
    return Counts(documents, present, ignored, cells, unseen=unseen, examples=examples)


_EMPTY: dict[str, Any] = {"buckets": []}


def _none(each: Cells) -> Counts:
    return Counts(0, 0, 0, (0,) * each.size, unseen=None if each.known is None else 0)
