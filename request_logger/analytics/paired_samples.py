"""Pairs of predictions: the same request answered by two models, as with a shadow, one document each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from request_logger.analytics.errors import BadQuestionError
from request_logger.analytics.queries import Asker
from request_logger.analytics.scope import Scope
from request_logger.common.json import dumps
from request_logger.common.names import row_named
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.scan import SCROLL_ORDER

MOST_DOCUMENTS = 200_000
_PROBE = 500
_SEED = 20_260_102
Key = bytes | tuple[str, int]
WAYS = ("auto", "request", "row", "none")


@dataclass(frozen=True, slots=True)
class Pairs:
    """The values of a field in pairs of documents. ``way``: by request id, or by the row that was asked about.

    ``cut``: there are more documents than are read.
    """

    way: str
    a: tuple[float, ...]
    b: tuple[float, ...]
    cut: bool


def find_pairs(asker: Asker, a: Scope, b: Scope, field: str, way: str = "auto") -> Pairs | None:
    """Find the pairs that have a numeric ``metrics`` field on both sides; None where there are none.

    ``request``: documents of one request id, and of one row where it was a batch. ``row``: documents of equal
    ``request.instance``; of several equal ones the first goes with the first. ``auto``: by request id. Raises
    BadQuestionError, and what :class:`Asker` does.
    """
    if way not in WAYS:
        raise BadQuestionError(f"--pair: expected {', '.join(WAYS)}, found {way!r}")
    if way == "none" or (way == "auto" and not _share_requests(asker, a, b)):
        return None
    by_row = way == "row"
    first, cut = _values(asker, a, field, by_row=by_row)
    second, cut_too = _values(asker, b, field, by_row=by_row)
    both = [pair for key in first if key in second for pair in zip(first[key], second[key], strict=False)]
    if not both:
        return None
    mine, theirs = zip(*both, strict=True)
    return Pairs("row" if by_row else "request", mine, theirs, cut or cut_too)


def _share_requests(asker: Asker, a: Scope, b: Scope) -> bool:
    """Look whether any of some documents' request ids is on the other side as well: reading all is dear."""
    body = {"size": _PROBE, "_source": False, "docvalue_fields": ["RequestId.keyword"]}
    hits = asker.sample(a, body, _SEED)["hits"]["hits"]
    ids = sorted({str(_first(hit, "RequestId.keyword")) for hit in hits if hit.get("fields")})
    return bool(ids) and asker.count(b, {"terms": {"RequestId.keyword": ids}}) > 0


def _values(asker: Asker, scope: Scope, field: str, *, by_row: bool) -> tuple[dict[Key, list[float]], bool]:
    found: dict[Key, list[float]] = {}
    for count, (key, value) in enumerate(_documents(asker, scope, field, by_row=by_row)):
        if count == MOST_DOCUMENTS:
            return found, True
        found.setdefault(key, []).append(value)
    return found, False


def _first(hit: dict[str, Any], path: str) -> Any:
    try:
        return hit["fields"][path][0]
    except (KeyError, IndexError, TypeError):
        raise StoreUnavailableError(f"the engine's answer to a search can't be used: a hit lacks {path}") from None


def _documents(asker: Asker, scope: Scope, field: str, *, by_row: bool) -> Iterator[tuple[Key, float]]:
    path = f"metrics.{field}"
    body: dict[str, Any] = {
        "_source": ["request.instance" if by_row else "RequestId"],
        "docvalue_fields": [path],
        "sort": SCROLL_ORDER,
    }
    for hit in asker.scroll(scope, body, {"exists": {"field": path}}):
        value = float(_first(hit, path))
        source = hit.get("_source") or {}
        if by_row:
            instance = (source.get("request") or {}).get("instance")
            if instance is not None:
                # A row may be an image; its hash tells it as well.
                yield blake2b(dumps(instance), digest_size=16).digest(), value
        else:
            named = row_named(hit["_id"])
            yield (source.get("RequestId", hit["_id"]), named[1] if named else 0), value
