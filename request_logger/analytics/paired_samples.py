"""Pairs of predictions: the same request answered by two models, as with a shadow deployment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.queries import VALUES_ONLY, QueryRunner
from request_logger.analytics.scope import Scope
from request_logger.common.json import dumps
from request_logger.common.names import row_named
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.scan import SCROLL_ORDER

# Documents read per side, which bounds memory; beyond, ``cut`` is set.
MOST_DOCUMENTS = 200_000
# Sampled request ids that decide whether reading all documents is worthwhile.
_PROBE = 500
# Fixed, so that a repeated comparison gives the same result.
_SEED = 20_260_102
Key = bytes | tuple[str, int]
WAYS = ("auto", "request", "row", "none")


@dataclass(frozen=True, slots=True)
class Pairs:
    """The values of a field in pairs of documents, ``a[k]`` with ``b[k]``.

    ``way`` is how they were paired: by request id, or by input row. ``cut``: more than MOST_DOCUMENTS exist, and the
    rest was not read. ``requests`` are the request ids of pairs by request: those of a batch have the same.
    """

    way: str
    a: tuple[float, ...]
    b: tuple[float, ...]
    cut: bool
    requests: tuple[str, ...] = ()


def find_pairs(runner: QueryRunner, a: Scope, b: Scope, field: str, way: str = "auto") -> Pairs | None:
    """Return the pairs that have a numeric ``metrics`` field on both sides; None without pairs.

    ``request`` pairs documents of one request id (and of one row of a batch). ``row`` pairs documents with equal
    ``request.instance``, in order where several are equal. ``auto`` pairs by request id where the two sides share any.
    Raises BadQueryError, and what :class:`QueryRunner` raises.
    """
    if way not in WAYS:
        raise BadQueryError(f"--pair: expected {', '.join(WAYS)}, found {way!r}")
    if way == "none" or (way == "auto" and not share_requests(runner, a, b)):
        return None
    by_row = way == "row"
    first, cut = _values(runner, a, field, by_row=by_row)
    second, cut_too = _values(runner, b, field, by_row=by_row)
    both = [(key, *pair) for key in first if key in second for pair in zip(first[key], second[key], strict=False)]
    if not both:
        return None
    keys, mine, theirs = zip(*both, strict=True)
    requests = () if by_row else tuple(request for request, _ in keys)
    return Pairs("row" if by_row else "request", mine, theirs, cut or cut_too, requests)


def share_requests(runner: QueryRunner, a: Scope, b: Scope) -> bool:
    """Return whether a sample of a's request ids occurs in b: reading all documents is expensive."""
    body = {"size": _PROBE, **VALUES_ONLY, "docvalue_fields": ["RequestId.keyword"]}
    hits = runner.sample(a, body, _SEED)["hits"]["hits"]
    ids = sorted({str(_first(hit, "RequestId.keyword")) for hit in hits if hit.get("fields")})
    return bool(ids) and runner.count(b, {"terms": {"RequestId.keyword": ids}}) > 0


def _values(runner: QueryRunner, scope: Scope, field: str, *, by_row: bool) -> tuple[dict[Key, list[float]], bool]:
    found: dict[Key, list[float]] = {}
    for count, (key, value) in enumerate(_documents(runner, scope, field, by_row=by_row)):
        if count == MOST_DOCUMENTS:
            return found, True
        found.setdefault(key, []).append(value)
    return found, False


def _first(hit: dict[str, Any], path: str) -> Any:
    try:
        return hit["fields"][path][0]
    except (KeyError, IndexError, TypeError):
        raise StoreUnavailableError(f"the engine's answer to a search can't be used: a hit lacks {path}") from None


def _documents(runner: QueryRunner, scope: Scope, field: str, *, by_row: bool) -> Iterator[tuple[Key, float]]:
    path = f"metrics.{field}"
    body: dict[str, Any] = {
        "_source": ["request.instance" if by_row else "RequestId"],
        "docvalue_fields": [path],
        "sort": SCROLL_ORDER,
    }
    for hit in runner.scroll(scope, body, {"exists": {"field": path}}):
        value = float(_first(hit, path))
        source = hit.get("_source") or {}
        if by_row:
            instance = (source.get("request") or {}).get("instance")
            if instance is not None:
                # A row may be as large as an image, so its hash is kept instead.
                yield blake2b(dumps(instance), digest_size=16).digest(), value
        else:
            named = row_named(hit["_id"])
            yield (source.get("RequestId", hit["_id"]), named[1] if named else 0), value
