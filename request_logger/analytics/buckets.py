"""Splits documents by time, by the values of a field or by ranges of a number, with the statistics of each segment.

One search serves a page of segments. Where the counts of a segment would not be exact, or the search engine rejects
that many buckets, each segment is queried separately.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.fields import Field
from request_logger.analytics.queries import Answers, QueryRunner, TooManyBucketsError
from request_logger.analytics.ranges import edges_of
from request_logger.analytics.rollups import NotExactError, Statistic, aggregation_body, read
from request_logger.analytics.scope import Query, Scope
from request_logger.analytics.selection import any_of, exists, having
from request_logger.common.chunks import chunks
from request_logger.store.search_answers import check_aggregations, check_total

_WINDOW = re.compile(r"([1-9]\d{0,5})([smhdw])|month")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
# Segments per search. Each holds the buckets of its statistics, and a search may return 65,536 buckets by default;
# if that is exceeded, segments are queried one by one.
_PAGE = 50
MISSING = "(none)"
# Percentiles that edges of ranges are chosen from: each is half a percent of the documents.
_PERCENTILES = 200
# More windows than a table or a plot can usefully show.
MOST_WINDOWS = 2000


@dataclass(frozen=True, slots=True)
class Segment:
    """A subset of a scope's documents.

    ``key`` is the value, range or start that they share, ``label`` is the same as text, ``only`` is the query that
    selects them, ``count`` is their number and ``answers`` are their statistics.
    """

    key: Any
    label: str
    count: int
    only: Query
    answers: Answers


def window_seconds(window: str) -> float:
    """Return the seconds of a length such as 15m, 6h, 1d, 1w or month (30 days). Raises BadQueryError."""
    match = _WINDOW.fullmatch(window)
    if match is None:
        raise BadQueryError(f"--window: expected a length such as 15m, 6h, 1d, 1w or month, found {window!r}")
    return 30 * 86400.0 if window == "month" else float(int(match[1]) * _UNITS[match[2]])


def over_time(
    runner: QueryRunner, scope: Scope, statistics: Iterable[Statistic], window: str, *more: Query, date_field: str = ""
) -> list[Segment]:
    """Return a segment per time window that has documents, in order; ``key`` is its start (aware, UTC).

    Weeks start on Monday and months on their first day, both in UTC; other windows start at multiples of their length
    since 1970. ``date_field`` defaults to that of the scope. Raises BadQueryError and what :class:`QueryRunner` raises.
    """
    field = date_field or scope.date_field
    check_windows(runner, scope, field, window, *more)
    histogram, segment = _windows(field, window)
    return _split(runner, scope, list(statistics), histogram, segment, more)


def over_time_of_each(
    runner: QueryRunner,
    scope: Scope,
    statistics: Iterable[Statistic],
    window: str,
    segments: Sequence[Segment],
    *more: Query,
) -> list[list[Segment]]:
    """Return for each of some segments what :func:`over_time` returns of its documents, by one search.

    The number of windows isn't checked: `check_windows` does. Raises as :func:`over_time` does.
    """
    histogram, segment = _windows(scope.date_field, window)
    asked = list(statistics)
    inner = {"aggs": aggregation_body(asked)} if asked else {}
    parts = {f"part_{k}": {"filter": each.only, **inner} for k, each in enumerate(segments)}
    try:
        found = runner.aggregate(scope, {"segments": {**histogram, "aggs": parts}}, *more)
    except TooManyBucketsError:
        return [over_time(runner, scope, asked, window, *more, each.only) for each in segments]
    curves: list[list[Segment]] = [[] for _ in segments]
    for bucket in found.get("segments", {}).get("buckets", []):
        for k, each in enumerate(segments):
            part = bucket[f"part_{k}"]
            if part["doc_count"]:
                made = segment({**bucket, "doc_count": part["doc_count"]}, {})
                answers = _answers(runner, scope, asked, part, having(made.only, each.only), more)
                curves[k].append(replace(made, answers=answers))
    return curves


def _windows(field: str, window: str) -> tuple[dict[str, Any], Callable[[dict[str, Any], Answers], Segment]]:
    """Return the histogram of a date by windows, and what makes a segment of one of its buckets."""
    seconds = window_seconds(window)
    calendar = {"1w": "week", "month": "month"}.get(window)
    every = {"calendar_interval": calendar} if calendar else {"fixed_interval": f"{int(seconds)}s"}

    def segment(bucket: dict[str, Any], answers: Answers) -> Segment:
        start = datetime.fromtimestamp(bucket["key"] / 1000, UTC)
        end = start + timedelta(seconds=seconds)
        if window == "month":
            end = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
        only = {"range": {field: {"gte": _millis(start), "lt": _millis(end), "format": "epoch_millis"}}}
        return Segment(start, start.isoformat(timespec="minutes")[:16], bucket["doc_count"], only, answers)

    return {"date_histogram": {"field": field, **every, "min_doc_count": 1}}, segment


def check_windows(runner: QueryRunner, scope: Scope, field: str, window: str, *more: Query) -> None:
    """Reject more than MOST_WINDOWS windows of a date. Raises BadQueryError."""
    seconds = window_seconds(window)
    ends = {name: {name: {"field": field}} for name in ("min", "max")}
    found = runner.aggregate(scope, ends, *more)
    low, high = (found.get(name, {}).get("value") for name in ends)
    if low is not None and (high - low) / 1000 / seconds > MOST_WINDOWS:
        raise BadQueryError(f"--window: {window} gives more than {MOST_WINDOWS:,} windows: choose a longer one")


def by_field(
    runner: QueryRunner, scope: Scope, statistics: Iterable[Statistic], field: Field, *more: Query, most: int = 10_000
) -> list[Segment]:
    """Return a segment per value of a field, the most frequent first, and one for documents without the field.

    A document with several values is in the segment of each. Raises BadQueryError for more than ``most`` values, and
    what :class:`QueryRunner` raises.
    """
    return fill(runner, scope, list(statistics), values_of(runner, scope, field, *more, most=most), more)


def values_of(runner: QueryRunner, scope: Scope, field: Field, *more: Query, most: int = 10_000) -> list[Segment]:
    """Return the segments of :func:`by_field` with counts but without statistics. Raises as it does."""
    counts: dict[Any, int] = {}
    for position, path in enumerate(field.paths):
        # Documents with an earlier path are counted there; those with no path at all, by the last.
        is_last = position == len(field.paths) - 1
        source = {"terms": {"field": path, **({"missing_bucket": True} if is_last else {})}}
        missing = [_missing(field.paths[:position])] if position else []
        for bucket in runner.pages(scope, {"value": source}, None, *more, *missing):
            value = bucket["key"]["value"]
            counts[value] = counts.get(value, 0) + bucket["doc_count"]
            if len(counts) > most:
                raise BadQueryError(f"--by: {field.name} has more than {most} values: choose a field with fewer")
    listed = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0] is None, str(pair[0])))
    return [value_segment(field, value, count) for value, count in listed]


def value_segment(field: Field, value: Any, count: int) -> Segment:
    """Return the segment (without statistics) of the documents with a value; for None, of those without any."""
    if value is None:
        return Segment(None, MISSING, count, _missing(field.paths), {})
    terms: list[Query] = [{"term": {path: value}} for path in field.paths]
    only = terms[0]
    if len(terms) > 1:
        lacking = [_missing(field.paths[:position]) for position in range(len(terms))]
        each = [having(term, *([lacking[position]] if position else [])) for position, term in enumerate(terms)]
        only = any_of(*each)
    return Segment(value, label_of(value), count, only, {})


def _missing(paths: Sequence[str]) -> Query:
    return {"bool": {"must_not": [exists(path) for path in paths]}}


def by_ranges(
    runner: QueryRunner,
    scope: Scope,
    statistics: Iterable[Statistic],
    field: Field,
    edges: Sequence[float],
    *more: Query,
) -> list[Segment]:
    """Return a segment per range between ``edges`` (ascending), and one for documents without the field; none is empty.

    The first range is everything below the first edge; each edge belongs to the range above it.
    """
    bounds = [None, *edges, None]
    segments = []
    for low, high in pairwise(bounds):
        span = {name: value for name, value in (("gte", low), ("lt", high)) if value is not None}
        only: Query = {"range": {field.path: span}} if span else {"exists": {"field": field.path}}
        text = " to under ".join(label_of(edge) for edge in (low, high) if edge is not None)
        label = f"under {text}" if low is None and span else f"{text} and over" if high is None and span else text
        segments.append(Segment((low, high), label or "all", 0, only, {}))
    segments.append(value_segment(field, None, 0))
    return [segment for segment in fill(runner, scope, list(statistics), segments, more) if segment.count]


def quantile_edges(runner: QueryRunner, scope: Scope, field: Field, count: int, *more: Query) -> list[float]:
    """Return edges that split a field's numbers into about ``count`` segments of equal size, see `edges_of`.

    Only the choice of edges is approximate (percentiles); the counts by these edges are exact.
    """
    percents = [0.0, *((k + 0.5) * 100.0 / _PERCENTILES for k in range(_PERCENTILES)), 100.0]
    aggs = {"edges": {"percentiles": {"field": field.path, "percents": percents}}}
    found = runner.aggregate(scope, aggs, *more).get("edges", {}).get("values", {})
    return edges_of([value for value in found.values() if isinstance(value, (int, float))], count)


def label_of(value: Any) -> str:
    """Return a value as text, whole numbers without a fraction; two different numbers have different texts."""
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.10g}"
    return text if float(text) == value else str(int(value)) if value.is_integer() else repr(value)


def fill(
    runner: QueryRunner,
    scope: Scope,
    statistics: Sequence[Statistic],
    segments: Sequence[Segment],
    more: Sequence[Query] = (),
) -> list[Segment]:
    """Return the segments with counts and statistics, fetched by each segment's query, _PAGE segments per search."""
    filled: list[Segment] = []
    for page in chunks(segments, _PAGE):
        try:
            buckets = _buckets(runner, scope, statistics, page, more)
        except TooManyBucketsError:
            buckets = [None] * len(page)
        for segment, bucket in zip(page, buckets, strict=True):
            answers = _answers(runner, scope, statistics, bucket, segment.only, more)
            count = bucket["doc_count"] if bucket else runner.count(scope, *more, segment.only)
            filled.append(Segment(segment.key, segment.label, count, segment.only, answers))
    return filled


def _buckets(
    runner: QueryRunner, scope: Scope, statistics: Sequence[Statistic], page: Sequence[Segment], more: Sequence[Query]
) -> list[dict[str, Any] | None]:
    """Return the bucket of each segment, by one search; None for a value that no document has."""
    inner = {"aggs": aggregation_body(statistics)} if statistics else {}
    terms = [segment.only.get("term", {}) for segment in page]
    paths = {path for term in terms for path in term}
    values = [value for term in terms for value in term.values()]
    if len(page) == len(values) and len(paths) == 1 and all(isinstance(value, str) for value in values):
        # Filters would be compared with each document one by one.
        (path,) = paths
        chosen = {"field": path, "include": values, "size": len(values)}
        found = runner.aggregate(scope, {"segments": {"terms": chosen, **inner}}, *more)
        by_value = {bucket["key"]: bucket for bucket in found.get("segments", {}).get("buckets", [])}
        return [by_value.get(value) for value in values]
    if len(page) == 1:
        # As part of the query, its condition is looked up in the index.
        answer = runner.search(scope, {"track_total_hits": True, **inner}, *more, page[0].only)
        return [{**check_aggregations(inner.get("aggs", {}), answer), "doc_count": check_total(answer)}]
    aggs = {f"segment_{k}": {"filter": segment.only, **inner} for k, segment in enumerate(page)}
    found = runner.aggregate(scope, aggs, *more)
    return [found.get(f"segment_{k}") for k in range(len(page))]


def _split(
    runner: QueryRunner,
    scope: Scope,
    statistics: Sequence[Statistic],
    splitting: dict[str, Any],
    segment: Callable[[dict[str, Any], Answers], Segment],
    more: Sequence[Query],
) -> list[Segment]:
    """Fetch the statistics inside a histogram, or per bucket where the search engine rejects that many buckets."""
    try:
        inner = {"aggs": aggregation_body(statistics)} if statistics else {}
        found = runner.aggregate(scope, {"segments": {**splitting, **inner}}, *more)
    except TooManyBucketsError:
        found = runner.aggregate(scope, {"segments": splitting}, *more)
    return list(_read_segments(runner, scope, statistics, found, segment, more))


def _read_segments(
    runner: QueryRunner,
    scope: Scope,
    statistics: Sequence[Statistic],
    found: dict[str, Any],
    segment: Callable[[dict[str, Any], Answers], Segment],
    more: Sequence[Query],
) -> Iterator[Segment]:
    for bucket in found.get("segments", {}).get("buckets", []):
        made = segment(bucket, {})
        answers = _answers(runner, scope, statistics, bucket, made.only, more)
        yield Segment(made.key, made.label, made.count, made.only, answers)


def _answers(
    runner: QueryRunner,
    scope: Scope,
    statistics: Sequence[Statistic],
    bucket: dict[str, Any] | None,
    only: Query,
    more: Sequence[Query],
) -> Answers:
    try:
        if bucket is not None:
            return read(statistics, bucket)
    except (KeyError, NotExactError):
        pass
    return runner.fetch(scope, statistics, *more, only)


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
