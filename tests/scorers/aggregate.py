"""A tiny engine: answers the needs of metrics, and aggregation bodies, from documents in memory."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from request_logger.analytics.rollups import HasMetrics, from_needs, needs_of
from scorers.base import AtMost, Bucket, Count, Fields, Need, Row, Scorer, Sum, SumBy, Terms, TermsBy

Pair = tuple[Row, Row]


def metrics_of(scorer: Scorer, pairs: Iterable[Pair]) -> dict[str, Any]:
    """Score the pairs and roll the documents up."""
    return roll_up(scorer, [scorer.score(truth, prediction) for truth, prediction in pairs])


def roll_up(scorer: HasMetrics, documents: list[Fields]) -> dict[str, Any]:
    """Compute a scorer's metrics over documents."""
    return from_needs(scorer, aggregate_documents(scorer, documents))


def aggregate_documents(scorer: HasMetrics, documents: list[Fields]) -> dict[Need, Any]:
    """Answer every need of a scorer's metrics over documents."""
    return {need: answer(need, documents) for need in needs_of(scorer)}


def answer(need: Need, documents: list[Fields]) -> Any:
    """Answer one need as an engine does: a missing field is no value, an array is its distinct values."""
    match need:
        case Count(None):
            return len(documents)
        case Count(field):
            return sum(len(_values(document, field)) for document in documents)
        case Sum(field):
            return math.fsum(value for document in documents for value in _values(document, field))
        case AtMost(field, limit):
            return sum(any(value <= limit for value in _values(document, field)) for document in documents)
        case Terms(field):
            return dict(Counter(value for document in documents for value in _values(document, field)))
        case TermsBy(field, by):
            table: dict[str, Counter[str]] = defaultdict(Counter)
            for document in documents:
                for outer in _values(document, by):
                    table[outer].update(_values(document, field))
            return {outer: dict(counts) for outer, counts in table.items()}
        case SumBy(fields, by):
            groups: dict[int, list[Fields]] = defaultdict(list)
            for document in documents:
                for key in _values(document, by):
                    groups[key].append(document)
            return {
                key: Bucket(len(group), {field: answer(Sum(field), group) for field in fields})
                for key, group in groups.items()
            }


def engine_answer(body: dict[str, Any], documents: list[Fields]) -> dict[str, Any]:
    """Answer an aggregation body of rollups.aggregations in the engine's own form."""
    return {key: _engine(aggregation, documents) for key, aggregation in body.items()}


def _engine(aggregation: dict[str, Any], documents: list[Fields]) -> dict[str, Any]:
    kind = next(name for name in aggregation if name != "aggs")
    if kind == "filter":
        ((path, limits),) = aggregation["filter"]["range"].items()
        return {"doc_count": answer(AtMost(path.removeprefix("metrics."), limits["lte"]), documents)}
    field = aggregation[kind]["field"].removeprefix("metrics.")
    if kind == "value_count":
        return {"value": len(documents) if field == "scorer" else answer(Count(field), documents)}
    if kind == "sum":
        return {"value": answer(Sum(field), documents)}
    counts = answer(Terms(field), documents)
    return {
        "doc_count_error_upper_bound": 0,
        "sum_other_doc_count": 0,
        "buckets": [
            {
                "key": key,
                "doc_count": count,
                **engine_answer(aggregation.get("aggs", {}), [d for d in documents if key in _values(d, field)]),
            }
            for key, count in counts.items()
        ],
    }


def _values(document: Fields, field: str) -> list[Any]:
    if field not in document:
        return []
    value = document[field]
    return list(dict.fromkeys(value)) if isinstance(value, list) else [value]
