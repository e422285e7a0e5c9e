"""The parts that are looked at: values of fields, and ranges of numbers, chosen from a sample of the documents."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeGuard

from request_logger.analytics.buckets import MISSING, label_of
from request_logger.analytics.fields import Field, fields_under, find_field
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.ranges import edges_of
from request_logger.analytics.scope import DEPLOYMENT, MODEL, PREDICTOR, Query, Scope
from request_logger.analytics.selection import exists
from request_logger.common.chunks import chunks
from request_logger.common.mapped_fields import COMPONENT

# What is known of a prediction before its answer, by path; the first of those with the same name that is in use.
_PATTERNS = (
    "request.elements.*",
    "request.metadata.*",
    "request.annotations.*",
    "request.meta.tags.*",
    "response.metadata.*",
    "response.annotations.*",
    "response.meta.tags.*",
    "feedback.meta.tags.*",
    *(path for known in (DEPLOYMENT, PREDICTOR, MODEL) for path in (known, known.removesuffix(".keyword"))),
    *(f"{side}.{name}" for name in ("model_version", "model_name", COMPONENT) for side in ("request", "response")),
)
# More fields are not looked at: each costs a part of a search, and adds to what the correction is for.
MOST_FIELDS = 100
# Values per field: with a support of 1 % at most 100 could qualify, but the rarer ones hardly ever show a difference.
MOST_VALUES = 20
# A number with more distinct values is looked at in ranges of about equal counts.
_MOST_NUMBERS = 12
_RANGES = 5
# Steps of percentiles that the edges of ranges are chosen from.
_PERCENTILES = 100
# Fields per search: few enough for the memory of the search engine, many enough for few searches.
_PER_SEARCH = 20


@dataclass(frozen=True, slots=True)
class Part:
    """The documents with a value of a field, or with a number in a range [``low``, ``high``).

    ``value``: that of a keyword; None for a range, which may be infinite, and for the documents without the field,
    which have no ``low``.
    """

    field: Field
    label: str
    value: Any = None
    low: float | None = None
    high: float | None = None

    @property
    def is_missing(self) -> bool:
        """Whether it has the documents without the field."""
        return self.value is None and self.low is None

    @property
    def range(self) -> dict[str, float]:
        """The bounds of a range, as a range aggregation takes them."""
        return {name: bound for name, bound in (("from", self.low), ("to", self.high)) if _is_finite(bound)}

    @property
    def conditions(self) -> list[str] | None:
        """The same documents as conditions of `conditions.where`; None where these can't express it."""
        name = self.field.path
        if {"=", "<", ">", "!"} & set(name):
            return None
        if self.is_missing:
            return [f"{name}="]
        if self.value is not None:
            text = str(self.value)
            # Of a text with a wildcard or spaces at its ends, a condition means others.
            return None if {"*", "?", "\n"} & set(text) or text.strip() != text or not text else [f"{name}={text}"]
        bounds = ((">=", self.low), ("<", self.high))
        return [f"{name}{operator}{bound!r}" for operator, bound in bounds if _is_finite(bound)] or [f"{name}!="]

    @property
    def only(self) -> Query:
        """The query for its documents."""
        if self.is_missing:
            return {"bool": {"must_not": [exists(self.field.path)]}}
        if self.value is not None:
            return {"term": {self.field.path: self.value}}
        span = {name: bound for name, bound in (("gte", self.low), ("lt", self.high)) if _is_finite(bound)}
        return {"range": {self.field.path: span}} if span else exists(self.field.path)


def named_fields(runner: QueryRunner, scope: Scope, only: Query, names: Sequence[str]) -> list[Field]:
    """Return the fields that a user names; of one in the request and in the response, that of more documents.

    Raises BadQueryError for an unknown one, and what :class:`QueryRunner` raises.
    """
    found: list[Field] = []
    for name in names:
        known = find_field(runner, scope, name, option="--fields")
        fields = [Field(name, path, known.is_number) for path in known.paths]
        counts = _counts(runner, scope, only, fields) if len(fields) > 1 else {}
        found.append(max(fields, key=lambda field: counts.get(field, 0)))
    return list({field.path: field for field in found}.values())


def candidate_fields(runner: QueryRunner, scope: Scope, only: Query, least: int) -> tuple[list[Field], int]:
    """Return the fields that at least ``least`` documents have, at most MOST_FIELDS, and how many more there are.

    Raises what :class:`QueryRunner` raises.
    """
    found = list(fields_under(runner, scope, _PATTERNS))
    counts = _counts(runner, scope, only, found)
    used: dict[str, Field] = {}
    for field in found:
        if counts[field] >= least:
            name = field.name.removeprefix("request.").removeprefix("response.").removeprefix("feedback.")
            known = used.setdefault(name, field)
            if counts[field] > counts[known]:
                used[name] = field
    listed = sorted(used.values(), key=lambda field: (-counts[field], field.name))
    return listed[:MOST_FIELDS], max(len(listed) - MOST_FIELDS, 0)


def _counts(runner: QueryRunner, scope: Scope, only: Query, fields: Sequence[Field]) -> dict[Field, int]:
    counts: dict[Field, int] = {}
    for some in chunks(fields, MOST_FIELDS):
        aggs = {str(k): {"filter": exists(field.path)} for k, field in enumerate(some)}
        answer = runner.aggregate(scope, aggs, only)
        counts |= {field: int(answer.get(str(k), {}).get("doc_count", 0)) for k, field in enumerate(some)}
    return counts


def parts_of(runner: QueryRunner, scope: Scope, fields: Sequence[Field], sample: Query) -> list[list[Part]]:
    """Return the parts of each field, as they are in a sample; only their choice depends on it.

    Raises what :class:`QueryRunner` raises.
    """
    found: list[list[Part]] = []
    percents = [100.0 * k / _PERCENTILES for k in range(_PERCENTILES + 1)]
    for some in chunks(fields, _PER_SEARCH):
        aggs: dict[str, Any] = {}
        for k, field in enumerate(some):
            size = _MOST_NUMBERS + 1 if field.is_number else MOST_VALUES
            # Without ordinals of all values of all documents: a field may have as many values as documents.
            hint = {} if field.is_number else {"execution_hint": "map"}
            aggs[f"values_{k}"] = {"terms": {"field": field.path, "size": size, **hint}}
            if field.is_number:
                aggs[f"edges_{k}"] = {"percentiles": {"field": field.path, "percents": percents}}
        answer = runner.aggregate(scope, aggs, sample)
        for k, field in enumerate(some):
            values = answer.get(f"values_{k}", {}).get("buckets", [])
            edges = answer.get(f"edges_{k}", {}).get("values", {})
            parts = list(_of_numbers(field, values, edges) if field.is_number else _of_values(field, values))
            found.append([*parts, Part(field, MISSING)])
    return found


def _of_values(field: Field, buckets: Iterable[Mapping[str, Any]]) -> Iterator[Part]:
    for bucket in buckets:
        # A boolean's key is a number, and its text is what a query takes.
        value = bucket.get("key_as_string", bucket["key"])
        yield Part(field, str(value), value)


def _of_numbers(field: Field, buckets: Sequence[Mapping[str, Any]], percentiles: Mapping[str, Any]) -> Iterator[Part]:
    if len(buckets) <= _MOST_NUMBERS:
        for value in sorted(float(bucket["key"]) for bucket in buckets):
            yield Part(field, label_of(value), None, value, math.nextafter(value, math.inf))
        return
    sample = [value for value in percentiles.values() if isinstance(value, (int, float))]
    for low, high in pairwise([-math.inf, *edges_of(sample, _RANGES), math.inf]):
        text = " to under ".join(label_of(edge) for edge in (low, high) if math.isfinite(edge))
        label = f"under {text}" if math.isinf(low) else f"{text} and over" if math.isinf(high) else text
        yield Part(field, label if text else "all", None, low, high)


def _is_finite(bound: float | None) -> TypeGuard[float]:
    return bound is not None and math.isfinite(bound)
