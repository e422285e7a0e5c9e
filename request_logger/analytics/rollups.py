"""The roll-ups: what a scorer's metrics need of the documents, as one plain aggregation body, and the values from it.

Nothing here talks to an engine. ``aggregations`` makes the body of ``aggs`` for any query (by time, by model, by
version), ``compute`` reads the answer's ``aggregations``. Ratios are never averaged: every metric is computed from
sums over all the documents, and so equals what scikit-learn computes over the same pairs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from scorers.base import AtMost, Bucket, Count, Metric, Need, Sum, SumBy, Terms, TermsBy, Value

PREFIX = "metrics."
# Of terms; with more distinct values the answer says that it is not exact, and so does NotExactError.
TERMS_SIZE = 10_000

Body = dict[str, Any]


class HasMetrics(Protocol):
    """A scorer, or its class."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that it declares."""
        ...


class NotExactError(ValueError):
    """The engine's answer is approximate: a field has more distinct values than a terms aggregation returns."""


@dataclass(frozen=True, slots=True)
class Moments:
    """What the interval of a mean needs of a numeric field, beside what its metric needs. Arrives as Spread."""

    field: str


@dataclass(frozen=True, slots=True)
class Spread:
    """Count, sum and sum of squares of a field over the documents; ``low`` and ``high`` are its extremes."""

    n: int
    total: float
    squares: float
    low: float
    high: float


Question = Need | Moments


def aggregations(scorer: HasMetrics, only: Collection[str] | None = None) -> Body:
    """Return the body of ``aggs`` that answers all the needs of a scorer's metrics, or of those named in ``only``.

    The fields are prefixed with ``metrics.``; there are no scripts. Restrict the query to the scorer's documents with
    ``{"term": {"metrics.scorer": scorer.name}}``.
    """
    return ask(needs_of(scorer, only))


def compute(
    scorer: HasMetrics, answer: Mapping[str, Any], only: Collection[str] | None = None
) -> dict[str, float | dict[str, Any]]:
    """Return the values of a scorer's metrics by name, from the ``aggregations`` object of the engine's answer.

    A metric that isn't defined over these documents (0/0) is left out. Raises NotExactError where a terms aggregation
    did not return every value, KeyError where the answer is that of another body.
    """
    return from_needs(scorer, read(needs_of(scorer, only), answer), only)


def from_needs(
    scorer: HasMetrics, needs: Mapping[Any, Any], only: Collection[str] | None = None
) -> dict[str, float | dict[str, Any]]:
    """Return the values of a scorer's metrics from the values of their needs, whoever summed them."""
    values: dict[str, Value] = {
        metric.name: metric.compute({key: needs[need] for key, need in metric.needs.items()})
        for metric in _chosen(scorer, only)
    }
    return {name: value for name, value in values.items() if value is not None}


def per_class(scorer: HasMetrics, answer: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the table by class (precision, recall, F1, support, ...) from the engine's answer.

    Empty for a scorer that has no classes. Raises as :func:`compute` does.
    """
    tables = [metric.name for metric in scorer.metrics if metric.per_class]
    return table_by_class(scorer, read(needs_of(scorer, tables), answer))


def table_by_class(scorer: HasMetrics, needs: Mapping[Any, Any]) -> dict[str, dict[str, float]]:
    """Return the same table from the values of the needs, whoever summed them."""
    tables = [metric.name for metric in scorer.metrics if metric.per_class]
    rows: dict[str, dict[str, float]] = {}
    for table in from_needs(scorer, needs, tables).values():
        for label, row in table.items() if isinstance(table, dict) else ():
            rows.setdefault(label, {}).update(row)
    return rows


def needs_of(scorer: HasMetrics, only: Collection[str] | None = None) -> tuple[Need, ...]:
    """Return the distinct needs of a scorer's metrics."""
    return tuple(_needs(_chosen(scorer, only)).values())


def ask(questions: Iterable[Question]) -> Body:
    """Return the body of ``aggs`` that answers some questions, each under a name of its own."""
    return {key_of(question): _aggregation(question) for question in questions}


def read(questions: Iterable[Question], answer: Mapping[str, Any]) -> dict[Question, Any]:
    """Return what the engine answered to each question. Raises as :func:`compute` does."""
    return {question: read_one(question, answer[key_of(question)]) for question in questions}


def _chosen(scorer: HasMetrics, only: Collection[str] | None) -> list[Metric]:
    return [metric for metric in scorer.metrics if only is None or metric.name in only]


def _needs(metrics: Iterable[Metric]) -> dict[str, Need]:
    """Return each distinct need under a key of its own, which is the name of its aggregation."""
    return {key_of(need): need for metric in metrics for need in metric.needs.values()}


def key_of(need: Question) -> str:
    """Name the aggregation of a question."""
    match need:
        case Moments(field):
            return f"moments_{field}"
        case Count(field):
            return f"count_{field or 'documents'}"
        case Sum(field):
            return f"sum_{field}"
        case AtMost(field, limit):
            return f"at_most_{field}_{limit:g}"
        case Terms(field):
            return f"terms_{field}"
        case TermsBy(field, by):
            return f"terms_{field}_by_{by}"
        case SumBy(fields, by):
            return f"sum_{'_'.join(fields)}_by_{by}"


def _aggregation(need: Question) -> Body:
    match need:
        case Moments(field):
            return {"extended_stats": {"field": f"{PREFIX}{field}"}}
        case Count(field):
            return {"value_count": {"field": f"{PREFIX}{field or 'scorer'}"}}
        case Sum(field):
            return {"sum": {"field": f"{PREFIX}{field}"}}
        case AtMost(field, limit):
            return {"filter": {"range": {f"{PREFIX}{field}": {"lte": limit}}}}
        case Terms(field):
            return _terms(field)
        case TermsBy(field, by):
            return {**_terms(by), "aggs": {"values": _terms(field)}}
        case SumBy(fields, by):
            return {**_terms(by), "aggs": {field: {"sum": {"field": f"{PREFIX}{field}"}} for field in fields}}


def _terms(field: str) -> Body:
    return {"terms": {"field": f"{PREFIX}{field}", "size": TERMS_SIZE}}


def read_one(need: Question, found: Mapping[str, Any]) -> Any:
    """Read the answer to one question. Raises NotExactError where a terms aggregation did not return every value."""
    key = key_of(need)
    match need:
        case Moments():
            # Without a value an engine answers null to all but the count.
            total, squares, low, high = (float(found[name] or 0.0) for name in ("sum", "sum_of_squares", "min", "max"))
            return Spread(int(found["count"]), total, squares, low, high)
        case Count():
            return int(found["value"])
        case Sum():
            # An engine answers null for the sum of a field that no document's mapping has.
            return float(found["value"] or 0.0)
        case AtMost():
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
