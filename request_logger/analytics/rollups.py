"""Roll-ups: the aggregation body for a scorer's metrics, and their values from the answer.

A pure module: ``aggregations`` builds the ``aggs`` body for any query (by time, by model, by version), ``compute``
reads the ``aggregations`` of the answer. Ratios are never averaged: each metric is computed from sums over all
documents, and so equals what scikit-learn computes over the same pairs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from scorers.base import AtMost, Bucket, Count, Having, Metric, Need, Sum, SumBy, Terms, TermsBy, Value

PREFIX = "metrics."
# Buckets per terms aggregation. With more distinct values the answer is approximate, and NotExactError is raised.
TERMS_SIZE = 10_000

Body = dict[str, Any]


class HasMetrics(Protocol):
    """A scorer or its class: anything that declares ``metrics``."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The declared metrics."""
        ...


class NotExactError(ValueError):
    """The answer is approximate: a field has more distinct values than a terms aggregation returns."""


@dataclass(frozen=True, slots=True)
class Moments:
    """The statistic that the interval of a mean needs of a numeric field; its value is a MomentSums."""

    field: str


@dataclass(frozen=True, slots=True)
class MomentSums:
    """Count (``n``), sum (``total``) and sum of squares of a field over the documents, with its extremes."""

    n: int
    total: float
    squares: float
    low: float
    high: float


# Everything that can be fetched over a set of documents: the needs of metrics, and what their intervals need as well.
Statistic = Need | Moments


def aggregations(scorer: HasMetrics, only: Collection[str] | None = None) -> Body:
    """Return the ``aggs`` body for all the needs of a scorer's metrics, or of those named in ``only``.

    The fields are prefixed with ``metrics.``; there are no scripts. Restrict the query to the scorer's documents with
    ``{"term": {"metrics.scorer": scorer.name}}``.
    """
    return aggregation_body(needs_of(scorer, only))


def compute(
    scorer: HasMetrics, answer: Mapping[str, Any], only: Collection[str] | None = None
) -> dict[str, float | dict[str, Any]]:
    """Return the values of a scorer's metrics by name, from the ``aggregations`` object of the search engine's answer.

    A metric that is undefined over these documents (0/0) is left out. Raises NotExactError where a terms aggregation
    did not return every value, KeyError where the answer belongs to another body.
    """
    return from_needs(scorer, read(needs_of(scorer, only), answer), only)


def from_needs(
    scorer: HasMetrics, needs: Mapping[Any, Any], only: Collection[str] | None = None
) -> dict[str, float | dict[str, Any]]:
    """Return the values of a scorer's metrics by name, from the values of their needs."""
    values: dict[str, Value] = {
        metric.name: metric.compute({key: needs[need] for key, need in metric.needs.items()})
        for metric in _chosen(scorer, only)
    }
    return {name: value for name, value in values.items() if value is not None}


def per_class(scorer: HasMetrics, answer: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the table by class (precision, recall, F1, support, ...) from the search engine's answer.

    Empty for a scorer without classes. Raises as :func:`compute` does.
    """
    tables = [metric.name for metric in scorer.metrics if metric.per_class]
    return table_by_class(scorer, read(needs_of(scorer, tables), answer))


def table_by_class(scorer: HasMetrics, needs: Mapping[Any, Any]) -> dict[str, dict[str, float]]:
    """Return the table of :func:`per_class` from the values of the needs."""
    tables = [metric.name for metric in scorer.metrics if metric.per_class]
    rows: dict[str, dict[str, float]] = {}
    for table in from_needs(scorer, needs, tables).values():
        for label, row in table.items() if isinstance(table, dict) else ():
            rows.setdefault(label, {}).update(row)
    return rows


def needs_of(scorer: HasMetrics, only: Collection[str] | None = None) -> tuple[Need, ...]:
    """Return the distinct needs of a scorer's metrics."""
    return tuple(_needs(_chosen(scorer, only)).values())


def aggregation_body(statistics: Iterable[Statistic]) -> Body:
    """Return the ``aggs`` body for some statistics, each under the name that `key_of` gives it.

    The moments of a field have its sum and its count, which have no aggregations then.
    """
    asked = list(statistics)
    moments = {statistic.field for statistic in asked if isinstance(statistic, Moments)}
    return {
        key_of(statistic): _aggregation(statistic)
        for statistic in asked
        if not (isinstance(statistic, (Sum, Count)) and statistic.field in moments)
    }


def read(statistics: Iterable[Statistic], answer: Mapping[str, Any]) -> dict[Statistic, Any]:
    """Return the value of each statistic from the answer to `aggregation_body`. Raises as :func:`compute` does."""
    return {statistic: read_from(statistic, answer) for statistic in statistics}


def read_from(statistic: Statistic, answer: Mapping[str, Any]) -> Any:
    """Return the value of one statistic from the answer to `aggregation_body`. Raises as :func:`compute` does."""
    key = key_of(statistic)
    if isinstance(statistic, (Sum, Count)) and statistic.field and key not in answer:
        moments = Moments(statistic.field)
        sums: MomentSums = read_one(moments, answer[key_of(moments)])
        return sums.total if isinstance(statistic, Sum) else sums.n
    return read_one(statistic, answer[key])


def _chosen(scorer: HasMetrics, only: Collection[str] | None) -> list[Metric]:
    return [metric for metric in scorer.metrics if only is None or metric.name in only]


def _needs(metrics: Iterable[Metric]) -> dict[str, Need]:
    """Return the distinct needs by the name of their aggregation."""
    return {key_of(need): need for metric in metrics for need in metric.needs.values()}


def key_of(need: Statistic) -> str:
    """Return the name of a statistic's aggregation, which is unique within a body."""
    match need:
        case Moments(field):
            return f"moments_{field}"
        case Count(field):
            return f"count_{field or 'documents'}"
        case Sum(field):
            return f"sum_{field}"
        case AtMost(field, limit):
            return f"at_most_{field}_{limit:g}"
        case Having(field, value):
            # A name of an aggregation can't have every character.
            return f"having_{field}_{hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()}"
        case Terms(field):
            return f"terms_{field}"
        case TermsBy(field, by):
            return f"terms_{field}_by_{by}"
        case SumBy(fields, by):
            return f"sum_{'_'.join(fields)}_by_{by}"


def _aggregation(need: Statistic) -> Body:
    match need:
        case Moments(field):
            return {"extended_stats": {"field": f"{PREFIX}{field}"}}
        case Count(field):
            return {"value_count": {"field": f"{PREFIX}{field or 'scorer'}"}}
        case Sum(field):
            return {"sum": {"field": f"{PREFIX}{field}"}}
        case AtMost(field, limit):
            return {"filter": {"range": {f"{PREFIX}{field}": {"lte": limit}}}}
        case Having(field, value):
            return {"filter": {"term": {f"{PREFIX}{field}": value}}}
        case Terms(field):
            return _terms(field)
        case TermsBy(field, by):
            return {**_terms(by), "aggs": {"values": _terms(field)}}
        case SumBy(fields, by):
            return {**_terms(by), "aggs": {field: {"sum": {"field": f"{PREFIX}{field}"}} for field in fields}}


def _terms(field: str) -> Body:
    return {"terms": {"field": f"{PREFIX}{field}", "size": TERMS_SIZE}}


def read_one(need: Statistic, found: Mapping[str, Any]) -> Any:
    """Return the value of one statistic. Raises NotExactError where a terms aggregation did not return every value."""
    key = key_of(need)
    match need:
        case Moments():
            # Without any value the search engine answers null to all but the count.
            total, squares, low, high = (float(found[name] or 0.0) for name in ("sum", "sum_of_squares", "min", "max"))
            return MomentSums(int(found["count"]), total, squares, low, high)
        case Count():
            return int(found["value"])
        case Sum():
            # The sum is null for a field that no index maps.
            return float(found["value"] or 0.0)
        case AtMost() | Having():
            return int(found["doc_count"])
        case Terms():
            return {str(bucket["key"]): int(bucket["doc_count"]) for bucket in _buckets(key, found)}
        case TermsBy():
            return {
                str(outer["key"]): {
                    str(inner["key"]): int(inner["doc_count"]) for inner in _buckets(key, outer["values"])
                }
                for outer in _buckets(key, found)
            }
        case SumBy(fields, _):
            return {
                int(bucket["key"]): Bucket(
                    int(bucket["doc_count"]), {field: float(bucket[field]["value"] or 0.0) for field in fields}
                )
                for bucket in _buckets(key, found)
            }


def _buckets(key: str, found: Mapping[str, Any]) -> list[Any]:
    if found.get("sum_other_doc_count", 0) or found.get("doc_count_error_upper_bound", 0):
        raise NotExactError(f"{key}: more than {TERMS_SIZE} distinct values, so the counts are not exact")
    buckets: list[Any] = found["buckets"]
    return buckets
