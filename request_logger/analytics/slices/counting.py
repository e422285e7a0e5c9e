"""Counts parts and pairs of parts exactly: one search has those of many fields, with the sums of all documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.rollups import Moments, MomentSums, aggregation_body, key_of, read_one
from request_logger.analytics.scope import Query, Scope
from request_logger.analytics.slices.parts import Part
from request_logger.common.chunks import chunks

# Fields per search, and pairs of fields. A pair has up to 400 buckets; search engines allow 65,536 in an answer.
_FIELDS = 10
_PAIRS = 9


class Counted(NamedTuple):
    """One part, or two of different fields, with the sums of their documents and those of all documents."""

    parts: tuple[Part, ...]
    sums: MomentSums
    whole: MomentSums


def count_parts(
    runner: QueryRunner, scope: Scope, only: Query, groups: Sequence[Sequence[Part]], field: str
) -> Iterator[Counted]:
    """Yield each part of each group (the parts of one field) with its sums. Raises as :class:`QueryRunner` does."""
    for some in chunks(groups, _FIELDS):
        aggs: dict[str, Any] = aggregation_body([Moments(field)])
        for k, group in enumerate(some):
            aggs |= _splitting(f"group_{k}", group, aggregation_body([Moments(field)]))
            for part in group:
                if part.is_missing:
                    aggs[f"missing_{k}"] = {"filter": part.only, "aggs": aggregation_body([Moments(field)])}
        answer = runner.aggregate(scope, aggs, only)
        if not answer:
            return
        whole = _moments(field, answer)
        for k, group in enumerate(some):
            buckets = _buckets(answer.get(f"group_{k}", {}))
            for number, part in enumerate(group):
                bucket = answer[f"missing_{k}"] if part.is_missing else buckets.get(_key(part, number))
                if bucket is not None:
                    yield Counted((part,), _moments(field, bucket), whole)


def count_pairs(
    runner: QueryRunner, scope: Scope, only: Query, groups: Sequence[Sequence[Part]], field: str
) -> Iterator[Counted]:
    """Yield each pair of parts of two of the groups with its sums. Raises as :class:`QueryRunner` does."""
    for some in chunks(list(combinations(groups, 2)), _PAIRS):
        aggs: dict[str, Any] = aggregation_body([Moments(field)])
        for k, (first, second) in enumerate(some):
            inner = _splitting("inner", second, aggregation_body([Moments(field)]))
            aggs |= _splitting(f"group_{k}", first, inner)
        answer = runner.aggregate(scope, aggs, only)
        if not answer:
            return
        whole = _moments(field, answer)
        for k, (first, second) in enumerate(some):
            for number, one in enumerate(first):
                outer = _buckets(answer.get(f"group_{k}", {})).get(_key(one, number))
                inside = _buckets(outer["inner"]) if outer else {}
                for position, other in enumerate(second):
                    bucket = inside.get(_key(other, position))
                    if bucket is not None:
                        yield Counted((one, other), _moments(field, bucket), whole)


def _splitting(name: str, group: Sequence[Part], inner: dict[str, Any]) -> dict[str, Any]:
    """Return the aggregation that has a bucket for each part of a field, except for documents without the field."""
    path = group[0].field.path
    ranges = [{"key": _key(part, k), **part.range} for k, part in enumerate(group) if part.low is not None]
    if ranges:
        return {name: {"range": {"field": path, "ranges": ranges}, "aggs": inner}}
    values = [part.value for part in group if part.value is not None]
    if not values:
        return {}
    # With these values only, and room for all, each shard returns each: the counts are exact.
    return {name: {"terms": {"field": path, "include": values, "size": len(values)}, "aggs": inner}}


def _key(part: Part, number: int) -> str:
    return str(part.value) if part.low is None else str(number)


def _buckets(found: dict[str, Any]) -> dict[str, Any]:
    return {str(bucket.get("key_as_string", bucket["key"])): bucket for bucket in found.get("buckets", [])}


def _moments(field: str, bucket: dict[str, Any]) -> MomentSums:
    found: MomentSums = read_one(Moments(field), bucket[key_of(Moments(field))])
    return found
