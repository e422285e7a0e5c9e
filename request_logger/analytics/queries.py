"""Fetches exact statistics of stored documents from the search engine.

A terms aggregation is tried first: one search returns everything. Where it isn't exact (more distinct values than it
returns, or an error bound over several shards), or the search engine rejects that many buckets, the same counts are
read page by page with a composite aggregation, which is exact for any number of values. All pages, and what is read
with them, are of one point in time.
"""

from __future__ import annotations

import contextlib
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.rollups import PREFIX, NotExactError, Statistic, aggregation_body, read_from, read_one
from request_logger.analytics.scope import TOLERANT, Query, Scope
from request_logger.common.json import dumps
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.point_in_time import PointInTime, opened
from request_logger.store.errors import is_partial, reason_of
from request_logger.store.excluded_indices import MAX_PATH_CHARACTERS, ExcludedIndices
from request_logger.store.ports import EngineReader
from request_logger.store.search_answers import check_aggregations, check_hits, check_total
from scorers.base import Bucket, SumBy, Terms, TermsBy

# Buckets or hits per page: a tenth of the 10,000 buckets that old search engines allow in one answer.
PAGE = 1000
# How long the search engine keeps a scroll between two pages.
_KEPT = "5m"
# Each round leaves out all indices that have failed so far: one or two rounds suffice, three with an alias. Ten end a
# loop over indices that keep failing one by one.
_MOST_ROUNDS = 10
# The value of each statistic; see `scorers.base` for the type that a need arrives as.
Answers = dict[Statistic, Any]
T = TypeVar("T")
# How often a read is repeated during which documents changed.
_MOST_READS = 5
VALUES_ONLY = {"_source": False, "stored_fields": "_none_"}
"""For hits with `docvalue_fields` alone: to read what else is stored of each, its id too, takes ten times as long."""
# A random sample is searched among so many more than it needs, in standard deviations of their number.
_MARGIN = 6.0


class TooManyBucketsError(BadQueryError):
    """The search engine rejects the number of buckets of a search."""


class _ViewEndedError(Exception):
    """A point in time has an index that can't answer."""


class QueryRunner:
    """Runs the searches of one report, leaving out the same failing indices (``left_out``) in all. Not thread-safe."""

    def __init__(self, engine: EngineReader) -> None:
        self.engine = engine
        self.left_out = ExcludedIndices(engine)
        # What all searches of `at_one_time` see: a point in time, or the name of the same copies of all shards.
        self._view: PointInTime | str | None = None

    def settled(self, make: Callable[[], T], indices: str = "") -> T:
        """Return the result of ``make``, repeated until no index is newly left out, so that all its figures match.

        The closed indices among ``indices`` are reported too. Raises what ``make`` raises, and StoreUnavailableError
        after _MOST_ROUNDS rounds.
        """
        if indices:
            self.left_out.note_closed(indices)
        for _ in range(_MOST_ROUNDS):
            known = len(self.left_out.reasons)
            try:
                made = make()
            except BadQueryError as error:
                if len(self.left_out.reasons) > known:
                    continue
                if self.left_out.reasons:
                    raise BadQueryError(f"{error} (left out: {', '.join(sorted(self.left_out.reasons))})") from None
                raise
            if len(self.left_out.reasons) == known:
                return made
        raise StoreUnavailableError("indices keep failing one by one")

    def search(self, scope: Scope, body: dict[str, Any], *more: Query) -> dict[str, Any]:
        """Return the whole answer to a search of a scope's documents; ``body`` has everything but the query.

        Failing indices are left out, see `ExcludedIndices`. Raises BadQueryError where the search engine rejects the
        query, TooManyBucketsError, and StoreUnavailableError without an answer or with that of some shards only: a
        partial sum is wrong.
        """
        return self._search(scope, {"size": 0, "track_total_hits": False, **body, "query": scope.query(*more)})

    def sample(
        self, scope: Scope, body: dict[str, Any], seed: int, *more: Query, total: int | None = None
    ) -> dict[str, Any]:
        """Search as :meth:`search` does, with a random choice of hits that is the same for the same seed.

        ``total`` is the number of the documents, if known: then most are left out before they are sorted.
        """
        chance = {"seed": seed, "field": "_seq_no"}
        query = {"function_score": {"query": scope.query(*more), "random_score": chance, "boost_mode": "replace"}}
        whole = {"track_total_hits": False, **body, "query": query}
        size = body["size"]
        # Scores are evenly distributed between 0 and 1, and the highest are chosen.
        share = (size + _MARGIN * math.sqrt(size)) / total if total else 1.0
        if share < 1.0:
            found = self._search(scope, {**whole, "min_score": 1.0 - share})
            if len(found["hits"]["hits"]) == size:
                return found
        return self._search(scope, whole)

    def scroll(self, scope: Scope, body: dict[str, Any], *more: Query, size: int = PAGE) -> Iterator[dict[str, Any]]:
        """Yield all hits of a search from one snapshot, ``size`` per page. Raises as :meth:`search` does."""
        whole = {"size": size, **body, "query": scope.query(*more)}
        scroll_id = ""
        answer = self._complete(scope, whole, {**TOLERANT, "scroll": _KEPT})
        try:
            while hits := answer["hits"]["hits"]:
                scroll_id = str(answer.get("_scroll_id", ""))
                yield from hits
                status, found = self.engine.request(
                    "POST", "/_search/scroll", {"scroll": _KEPT, "scroll_id": scroll_id}
                )
                answer = _checked(status, found)
        finally:
            if scroll_id:
                self.engine.request("DELETE", "/_search/scroll", {"scroll_id": scroll_id})

    def _search(self, scope: Scope, body: dict[str, Any]) -> dict[str, Any]:
        return self._complete(scope, body, TOLERANT)

    def _complete(self, scope: Scope, body: dict[str, Any], params: dict[str, str]) -> dict[str, Any]:
        """Repeat a search until all indices that are not left out have answered."""
        for _ in range(_MOST_ROUNDS):
            status, answer = self._send(self.left_out.narrowed(scope.indices), body, params)
            try:
                return _checked(status, answer)
            except TooManyBucketsError:
                raise
            except (BadQueryError, StoreUnavailableError):
                if not self.left_out.learn(scope.indices, status, answer):
                    raise
                if isinstance(self._view, PointInTime):
                    # It has the index that is left out from now on.
                    raise _ViewEndedError from None
        raise StoreUnavailableError("indices keep failing one by one")

    def _send(self, indices: str, body: dict[str, Any], params: dict[str, str]) -> tuple[int, Any]:
        if isinstance(self._view, PointInTime):
            return self.engine.request("POST", "/_search", {**body, **self._view.body})
        # The copies of a shard are refreshed at different times.
        same_copies = {"preference": self._view} if self._view else {}
        path = f"/{quote(indices, safe='*,')}/_search"
        if len(path) <= MAX_PATH_CHARACTERS:
            return self.engine.request("POST", path, body, params={**params, **same_copies})
        if "scroll" in params:
            raise StoreUnavailableError(f"too many indices must be left out: {len(self.left_out.reasons)}")
        return self._send_all(indices, [body])[0]

    def _send_all(self, indices: str, bodies: Sequence[dict[str, Any]]) -> list[tuple[int, Any]]:
        """Send searches of the same indices as one request; return the status and the answer of each."""
        same_copies = {"preference": self._view} if self._view else {}
        header = {"index": indices.split(","), "ignore_unavailable": True, "allow_no_indices": True, **same_copies}
        lines = b"".join(dumps(header) + b"\n" + dumps(body) + b"\n" for body in bodies)
        status, answer = self.engine.request("POST", "/_msearch", lines)
        found = answer.get("responses") if isinstance(answer, dict) else None
        if (
            status != 200
            or not isinstance(found, list)
            or len(found) != len(bodies)
            or not all(isinstance(each, dict) for each in found)
        ):
            return [(status if status != 200 else 502, answer)] * len(bodies)
        return [(int(each.get("status", 200)), each) for each in found]

    def at_one_time(self, scope: Scope, read: Callable[[], T], *more: Query) -> T:
        """Return the result of ``read``, all of whose searches see the same documents, though these change meanwhile.

        In a point in time where the search engine has one; else it is repeated until nothing changed. Raises
        StoreUnavailableError if it always does.
        """
        if self._view is not None:
            return read()
        for _ in range(_MOST_ROUNDS):
            pit = next(opened(self.engine, f"/{quote(self.left_out.narrowed(scope.indices), safe='*,')}"), None)
            self._view = pit or uuid.uuid4().hex
            try:
                return read() if pit else self._unchanged(scope, read, more)
            except _ViewEndedError:
                continue
            finally:
                self._view = None
                if pit is not None:
                    pit.close()
        raise StoreUnavailableError("indices keep failing one by one")

    def _unchanged(self, scope: Scope, read: Callable[[], T], more: Sequence[Query]) -> T:
        """Repeat ``read`` until the scope's documents are the same before and after it."""
        before = self._state(scope, more)
        for _ in range(_MOST_READS):
            found = read()
            after = self._state(scope, more)
            if after == before:
                return found
            before = after
        raise StoreUnavailableError(
            "the documents change faster than their many classes can be counted: choose a time span that has ended"
        )

    def _state(self, scope: Scope, more: Sequence[Query]) -> Any:
        """Return what changes when a document of the scope is written: their number, and the times of their scoring."""
        times = {"times": {"stats": {"field": f"{PREFIX}scored_at"}}}
        answer = self.search(scope, {"track_total_hits": True, "aggs": times}, *more)
        found = check_aggregations(times, answer).get("times", {})
        return check_total(answer), [found.get(name) for name in ("count", "max", "sum")]

    def count(self, scope: Scope, *more: Query) -> int:
        """Return the number of a scope's documents. Raises as :meth:`search` does."""
        return check_total(self.search(scope, {"track_total_hits": True}, *more))

    def counts(self, scope: Scope, queries: Mapping[str, Query], *more: Query) -> dict[str, int]:
        """Return by name the number of a scope's documents that match each query. Raises as :meth:`search` does.

        A search that only counts takes a fraction of the time of a filter aggregation, which evaluates the clauses of
        each document one by one.
        """
        if isinstance(self._view, PointInTime):
            return {name: self.count(scope, query, *more) for name, query in queries.items()}
        bodies = [
            {"size": 0, "track_total_hits": True, "query": scope.query(query, *more)} for query in queries.values()
        ]
        answers = self._send_all(self.left_out.narrowed(scope.indices), bodies)
        counted: dict[str, int] = {}
        for (name, query), (status, answer) in zip(queries.items(), answers, strict=True):
            try:
                counted[name] = check_total(_checked(status, answer))
            except (BadQueryError, StoreUnavailableError):
                # Asked again alone, which leaves out the indices that fail.
                counted[name] = self.count(scope, query, *more)
        return counted

    def aggregate(self, scope: Scope, aggs: dict[str, Any], *more: Query) -> dict[str, Any]:
        """Return the ``aggregations`` of a scope's documents, empty without indices. Raises as :meth:`search` does."""
        return check_aggregations(aggs, self.search(scope, {"aggs": aggs}, *more))

    def fetch(self, scope: Scope, statistics: Iterable[Statistic], *more: Query) -> Answers:
        """Return the exact value of each statistic over a scope's documents. Raises as :meth:`search` does."""
        asked = list(dict.fromkeys(statistics))
        answered = self._at_once(scope, asked, *more)
        if len(answered) == len(asked):
            return answered
        return self.at_one_time(scope, lambda: self._in_pages(scope, asked, *more), *more)

    def _at_once(self, scope: Scope, asked: Sequence[Statistic], *more: Query) -> Answers:
        """Return the values that are exact in one search."""
        try:
            found = self.aggregate(scope, aggregation_body(asked), *more)
        except TooManyBucketsError:
            plain = [statistic for statistic in asked if not isinstance(statistic, (Terms, TermsBy, SumBy))]
            found = self.aggregate(scope, aggregation_body(plain), *more)
        answered: Answers = {}
        for statistic in asked:
            with contextlib.suppress(KeyError, NotExactError):
                answered[statistic] = read_from(statistic, found)
        return answered

    def _in_pages(self, scope: Scope, asked: Sequence[Statistic], *more: Query) -> Answers:
        known = self._at_once(scope, asked, *more)
        return {each: known[each] if each in known else self._paged(scope, each, *more) for each in asked}

    def pages(
        self,
        scope: Scope,
        sources: dict[str, Any],
        aggs: dict[str, Any] | None = None,
        *more: Query,
        size: int = PAGE,
        most: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield all buckets of a composite aggregation over ``sources`` (by name), all of the same documents.

        At most ``most``, if given, in the order of their keys. Raises as :meth:`search` does.
        """

        def page(after: Any) -> dict[str, Any]:
            parts = [{name: source} for name, source in sources.items()]
            composite = {"size": size, "sources": parts, **({} if after is None else {"after": after})}
            body = {"pages": {"composite": composite, **({"aggs": aggs} if aggs else {})}}
            found: dict[str, Any] = self.aggregate(scope, body, *more).get("pages", {"buckets": []})
            return found

        first = page(None)
        if len(first["buckets"]) < size or first.get("after_key") is None:
            yield from first["buckets"]
        else:
            yield from self.at_one_time(scope, lambda: list(islice(_buckets_of(page, size), most)), *more)

    def _paged(self, scope: Scope, statistic: Statistic, *more: Query) -> Any:
        """Return a terms statistic from a composite aggregation; for other statistics the value over no documents."""
        match statistic:
            case Terms(field):
                found = self.pages(scope, {"value": _terms(field)}, None, *more)
                return {str(bucket["key"]["value"]): int(bucket["doc_count"]) for bucket in found}
            case TermsBy(field, by):
                table: dict[str, dict[str, int]] = {}
                for bucket in self.pages(scope, {"by": _terms(by), "value": _terms(field)}, None, *more):
                    row = table.setdefault(str(bucket["key"]["by"]), {})
                    row[str(bucket["key"]["value"])] = int(bucket["doc_count"])
                return table
            case SumBy(fields, by):
                sums = {field: {"sum": {"field": f"{PREFIX}{field}"}} for field in fields}
                return {
                    int(bucket["key"]["by"]): Bucket(
                        int(bucket["doc_count"]), {field: float(bucket[field]["value"] or 0.0) for field in fields}
                    )
                    for bucket in self.pages(scope, {"by": _terms(by)}, sums, *more)
                }
        return read_one(statistic, _NOTHING)


# The answer of any single-value aggregation over no documents.
_NOTHING = {"value": 0, "doc_count": 0, "count": 0, "sum": 0.0, "sum_of_squares": 0.0, "min": 0.0, "max": 0.0}


def _buckets_of(page: Callable[[Any], dict[str, Any]], size: int) -> Iterator[dict[str, Any]]:
    """Yield the buckets of all pages."""
    after: Any = None
    while True:
        found = page(after)
        yield from found["buckets"]
        before, after = after, found.get("after_key")
        if after is None or len(found["buckets"]) < size:
            return
        if after == before:
            raise StoreUnavailableError("the engine's answer to a search can't be used: a page repeats")


def _terms(field: str) -> dict[str, Any]:
    return {"terms": {"field": f"{PREFIX}{field}"}}


def _checked(status: int, answer: Any) -> dict[str, Any]:
    if status == 200:
        if not isinstance(answer, dict) or not is_partial(answer):
            return check_hits(answer)
        # A partial sum is wrong, and the same search would fail again.
        raise StoreUnavailableError(f"the search engine left documents out: {_lacking(answer) or _why(answer)}")
    reason = _why(answer)
    if status in (400, 404):
        raise BadQueryError(f"the search engine rejects the query: {reason}")
    raise StoreUnavailableError(f"the search engine can't answer ({status}): {reason}")


def _lacking(answer: dict[str, Any]) -> str:
    """Return how many shards have not answered, where no other reason is said."""
    shards = answer.get("_shards")
    counts = [shards.get(name) for name in ("total", "successful")] if isinstance(shards, dict) else []
    if answer.get("timed_out") or not isinstance(shards, dict) or shards.get("failures"):
        return ""
    return f"{counts[1]} of {counts[0]} shards have answered" if all(isinstance(n, int) for n in counts) else ""


def _why(answer: Any) -> str:
    """Return the search engine's reason. Raises TooManyBucketsError where it is the number of buckets."""
    reason = "timed out" if isinstance(answer, dict) and answer.get("timed_out") else reason_of(answer)
    # The reason may be nested several causes deep.
    whole = dumps(answer).decode().lower()
    if "too_many_buckets" in whole or "too many buckets" in whole:
        raise TooManyBucketsError(reason)
    return reason
