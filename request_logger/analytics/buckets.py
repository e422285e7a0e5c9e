"""The same questions by time, by the values of a field or by ranges of numbers: one answer a bucket.

One search answers all buckets of a page. Where a bucket's counts would not be exact in it, or the engine refuses so
many buckets at once, each bucket is asked for on its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from request_logger.analytics.errors import BadQuestionError
from request_logger.analytics.fields import Field
from request_logger.analytics.queries import Answers, Asker, TooManyBucketsError
from request_logger.analytics.rollups import NotExactError, Question, ask, read
from request_logger.analytics.scope import Query, Scope

_WINDOW = re.compile(r"([1-9]\d{0,5})([smhdw])|month")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
# Buckets of one search: each holds the buckets of its own questions.
_PAGE = 50
MISSING = "(none)"
MOST_WINDOWS = 2000


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the documents of a scope. ``key``: what they share; ``label``: the same as text.

    ``only`` is the query that finds them.
    """

    key: Any
    label: str
    count: int
    only: Query
    answers: Answers


def window_seconds(window: str) -> float:
    """Read a length such as 15m, 6h, 1d, 1w or month; a month counts as 30 days. Raises BadQuestionError."""
    match = _WINDOW.fullmatch(window)
    if match is None:
        raise BadQuestionError(f"--window: expected a length such as 15m, 6h, 1d, 1w or month, found {window!r}")
    return 30 * 86400.0 if window == "month" else float(int(match[1]) * _UNITS[match[2]])


def over_time(
    asker: Asker, scope: Scope, questions: Iterable[Question], window: str, *more: Query, date_field: str = ""
) -> list[Part]:
    """Answer the questions for each window of time that has documents, in order; ``key`` is its start (aware, UTC).

    Weeks start on Monday, months on their first, both in UTC; other windows at multiples of their length since 1970.
    ``date_field`` is by default that of the scope. Raises BadQuestionError and what :class:`Asker` does.
    """
    seconds = window_seconds(window)
    field = date_field or scope.date_field
    calendar = {"1w": "week", "month": "month"}.get(window)
    every = {"calendar_interval": calendar} if calendar else {"fixed_interval": f"{int(seconds)}s"}
    histogram = {"date_histogram": {"field": field, **every, "min_doc_count": 1}}
    asked = list(questions)
    _check_count(asker, scope, field, seconds, window, more)

    def part(bucket: dict[str, Any], answers: Answers) -> Part:
        start = datetime.fromtimestamp(bucket["key"] / 1000, UTC)
        end = start + timedelta(seconds=seconds)
        if window == "month":
            end = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
        only = {"range": {field: {"gte": _millis(start), "lt": _millis(end), "format": "epoch_millis"}}}
        return Part(start, start.isoformat(timespec="minutes")[:16], bucket["doc_count"], only, answers)

    return _split(asker, scope, asked, histogram, part, more)


def _check_count(asker: Asker, scope: Scope, field: str, seconds: float, window: str, more: Sequence[Query]) -> None:
    """Refuse windows of which there are more than anybody can look at. Raises BadQuestionError."""
    ends = {name: {name: {"field": field}} for name in ("min", "max")}
    found = asker.aggregate(scope, ends, *more)
    low, high = (found.get(name, {}).get("value") for name in ends)
    if low is not None and (high - low) / 1000 / seconds > MOST_WINDOWS:
        raise BadQuestionError(f"--window: {window} gives more than {MOST_WINDOWS:,} windows: choose a longer one")


def by_field(
    asker: Asker, scope: Scope, questions: Iterable[Question], field: Field, *more: Query, most: int = 10_000
) -> list[Part]:
    """Answer the questions for each value of a field, the most frequent first; documents without it are one part.

    A document with several values is in the part of each. Raises BadQuestionError where there are more values than
    ``most``, and what :class:`Asker` does.
    """
    return fill(asker, scope, list(questions), values_of(asker, scope, field, *more, most=most), more)


def values_of(asker: Asker, scope: Scope, field: Field, *more: Query, most: int = 10_000) -> list[Part]:
    """Return the parts of :func:`by_field`, with their counts and without answers. Raises as it does."""
    source = {"terms": {"field": field.path, "missing_bucket": True}}
    listed: list[dict[str, Any]] = []
    for bucket in asker.pages(scope, {"value": source}, None, *more):
        listed.append(bucket)
        if len(listed) > most:
            raise BadQuestionError(f"--by: {field.name} has more than {most} values: choose a field with fewer")
    listed.sort(key=lambda bucket: (-bucket["doc_count"], bucket["key"]["value"] is None, str(bucket["key"]["value"])))
    return [value_part(field, bucket["key"]["value"], bucket["doc_count"]) for bucket in listed]


def value_part(field: Field, value: Any, count: int) -> Part:
    """Return the part, without answers yet, of the documents with a value; None: of those without any."""
    if value is None:
        return Part(None, MISSING, count, {"bool": {"must_not": [{"exists": {"field": field.path}}]}}, {})
    return Part(value, label_of(value), count, {"term": {field.path: value}}, {})


def by_ranges(
    asker: Asker, scope: Scope, questions: Iterable[Question], field: Field, edges: Sequence[float], *more: Query
) -> list[Part]:
    """Answer the questions for the ranges of a number that ``edges`` (ascending) part, and for those without it.

    The first range is all below the first edge, each edge belongs to the range above it.
    """
    bounds = [None, *edges, None]
    parts = []
    for low, high in pairwise(bounds):
        span = {name: value for name, value in (("gte", low), ("lt", high)) if value is not None}
        only: Query = {"range": {field.path: span}} if span else {"exists": {"field": field.path}}
        text = " to under ".join(label_of(edge) for edge in (low, high) if edge is not None)
        label = f"under {text}" if low is None and span else f"{text} and over" if high is None and span else text
        parts.append(Part((low, high), label or "all", 0, only, {}))
    parts.append(value_part(field, None, 0))
    return [part for part in fill(asker, scope, list(questions), parts, more) if part.count]


def quantile_edges(asker: Asker, scope: Scope, field: Field, count: int, *more: Query) -> list[float]:
    """Choose edges that part the numbers of a field into about ``count`` equal shares, at round numbers.

    Only the choice is approximate, as the engine's percentiles are: counts by these edges are exact.
    """
    percents = [100.0 * k / count for k in range(1, count)]
    aggs = {"edges": {"percentiles": {"field": field.path, "percents": percents}}}
    found = asker.aggregate(scope, aggs, *more).get("edges", {}).get("values", {})
    return sorted({float(f"{value:.3g}") for value in found.values() if isinstance(value, (int, float))})


def label_of(value: Any) -> str:
    """Write a value as a user would: a whole number without a fraction."""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def fill(
    asker: Asker, scope: Scope, questions: Sequence[Question], parts: Sequence[Part], more: Sequence[Query] = ()
) -> list[Part]:
    """Answer the questions for each part by its query, some parts a search."""
    filled: list[Part] = []
    for start in range(0, len(parts), _PAGE):
        page = parts[start : start + _PAGE]
        inner = {"aggs": ask(questions)} if questions else {}
        aggs = {f"part_{k}": {"filter": part.only, **inner} for k, part in enumerate(page)}
        try:
            found = asker.aggregate(scope, aggs, *more)
        except TooManyBucketsError:
            found = {}
        for k, part in enumerate(page):
            bucket = found.get(f"part_{k}")
            answers = _answers(asker, scope, questions, bucket, part.only, more)
            count = bucket["doc_count"] if bucket else asker.count(scope, *more, part.only)
            filled.append(Part(part.key, part.label, count, part.only, answers))
    return filled


def _split(
    asker: Asker,
    scope: Scope,
    questions: Sequence[Question],
    splitting: dict[str, Any],
    part: Callable[[dict[str, Any], Answers], Part],
    more: Sequence[Query],
) -> list[Part]:
    """Ask within a histogram, or, where the engine refuses that, for each of its buckets."""
    try:
        inner = {"aggs": ask(questions)} if questions else {}
        found = asker.aggregate(scope, {"parts": {**splitting, **inner}}, *more)
    except TooManyBucketsError:
        found = asker.aggregate(scope, {"parts": splitting}, *more)
    return list(_read_parts(asker, scope, questions, found, part, more))


def _read_parts(
    asker: Asker,
    scope: Scope,
    questions: Sequence[Question],
    found: dict[str, Any],
    part: Callable[[dict[str, Any], Answers], Part],
    more: Sequence[Query],
) -> Iterator[Part]:
    for bucket in found.get("parts", {}).get("buckets", []):
        made = part(bucket, {})
        answers = _answers(asker, scope, questions, bucket, made.only, more)
        yield Part(made.key, made.label, made.count, made.only, answers)


def _answers(
    asker: Asker,
    scope: Scope,
    questions: Sequence[Question],
    bucket: dict[str, Any] | None,
    only: Query,
    more: Sequence[Query],
) -> Answers:
    try:
        if bucket is not None:
            return read(questions, bucket)
    except (KeyError, NotExactError):
        pass
    return asker.answers(scope, questions, *more, only)


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
