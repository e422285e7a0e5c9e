"""Validates answers to searches, once, so that their readers can rely on the shape.

A proxy may answer with a page, and a search engine with an error that has the status 200. Any such answer raises
StoreUnavailableError.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from request_logger.store.changes import StoreUnavailableError

_SINGLE = frozenset(("sum", "avg", "min", "max", "value_count", "cardinality"))
_BUCKETS = frozenset(("terms", "composite", "date_histogram", "histogram", "range"))
_OVERFLOWS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
_KINDS = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "nothing"}


def check_hits(answer: Any) -> dict[str, Any]:
    """Return an answer, validated to have a list of hits, each an object. Raises StoreUnavailableError."""
    found = _object(answer, "the answer")
    hits = _object(found.get("hits"), "hits").get("hits")
    for hit in _list(hits, "hits.hits"):
        _object(hit, "a hit")
    return found


def check_documents(answer: Any) -> dict[str, Any]:
    """Return an answer, validated to have hits with index, id and sort values. Raises StoreUnavailableError."""
    found = check_hits(answer)
    for hit in found["hits"]["hits"]:
        for name in ("_index", "_id"):
            if not isinstance(hit.get(name), str):
                raise _wrong(f"{name} of a hit", "text", hit.get(name))
        if not _list(hit.get("sort"), "sort of a hit"):
            raise _wrong("sort of a hit", "values", None)
        if hit.get("_source") is not None:
            _object(hit["_source"], "_source of a hit")
    return found


def check_total(answer: Mapping[str, Any]) -> int:
    """Return the total number of hits of an answer. Raises StoreUnavailableError."""
    total = _object(answer.get("hits"), "hits").get("total")
    return _whole(_object(total, "hits.total").get("value"), "hits.total.value")


def check_aggregations(asked: Mapping[str, Any], answer: Any) -> dict[str, Any]:
    """Return the aggregations of an answer, validated against the request; ``asked`` is the body of ``aggs``.

    Empty if no index matches, for which search engines omit them. Raises StoreUnavailableError.
    """
    whole = _object(answer, "the answer")
    found = whole.get("aggregations")
    if found is None:
        shards = _object(whole.get("_shards", {}), "_shards")
        if shards.get("total", 0) and asked:
            raise _wrong("aggregations", "an object", None)
        return {}
    _check_all(asked, _object(found, "aggregations"))
    return dict(found)


def _check_all(asked: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    for name, body in asked.items():
        each = _object(found.get(name), f"the aggregation {name}")
        kind = next(key for key in body if key not in ("aggs", "meta"))
        inner = body.get("aggs", {})
        if kind == "filter":
            _whole(each.get("doc_count"), f"doc_count of {name}")
            _check_all(inner, each)
        elif kind in _BUCKETS:
            for bucket in _list(each.get("buckets"), f"buckets of {name}"):
                _check_bucket(name, body[kind] if kind == "composite" else {}, _object(bucket, f"a bucket of {name}"))
                _check_all(inner, bucket)
            if kind == "composite" and each["buckets"] and each.get("after_key") is not None:
                _object(each["after_key"], f"after_key of {name}")
        elif kind in _SINGLE:
            _read_number(each, "value", name)
        elif kind == "extended_stats":
            _whole(each.get("count"), f"count of {name}")
            for part in ("sum", "sum_of_squares", "min", "max"):
                _read_number(each, part, name)
        elif kind == "percentiles":
            _object(each.get("values"), f"values of {name}")
        elif kind == "top_hits":
            for hit in check_hits(each)["hits"]["hits"]:
                _object(hit.get("_source"), f"_source of {name}")
                _list(hit.get("sort"), f"sort of {name}")


def _check_bucket(name: str, composite: Mapping[str, Any], bucket: Mapping[str, Any]) -> None:
    _whole(bucket.get("doc_count"), f"doc_count of {name}")
    key = bucket.get("key")
    if composite:
        known = _object(key, f"key of {name}")
        for source in composite["sources"]:
            if not source.keys() <= known.keys():
                raise _wrong(f"key of {name}", f"the value of {', '.join(source)}", None)
    elif isinstance(key, (dict, list)) or key is None:
        raise _wrong(f"key of {name}", "a value", key)


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(what, "an object", value)
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(what, "a list", value)
    return value


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(what, "a whole number", value)
    return value


def _read_number(found: dict[str, Any], part: str, name: str) -> None:
    """Validate a number, in place: one beyond the range of doubles, such as a sum of squares, comes as text."""
    value = found.get(part)
    if isinstance(value, str) and value in _OVERFLOWS:
        found[part] = _OVERFLOWS[value]
    # Search engines answer null if there is no value.
    elif part not in found or isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
        raise _wrong(f"{part} of {name}", "a number", value)


def _wrong(what: str, expected: str, found: Any) -> StoreUnavailableError:
    kind = _KINDS.get(type(found), "a number")
    return StoreUnavailableError(
        f"the engine's answer to a search can't be used: {what}: expected {expected}, found {kind}"
    )
