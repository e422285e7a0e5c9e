"""Gets the sums that metrics are made of from the engine, exact or not at all.

A terms aggregation is asked first: one search answers everything. Where it isn't exact (more distinct values than it
returns, an error bound of several shards) or the engine refuses so many buckets, the same counts are read page by page
with a composite aggregation, which is exact for any number of values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote

from request_logger.analytics.errors import BadQuestionError
from request_logger.analytics.rollups import PREFIX, NotExactError, Question, ask, key_of, read_one
from request_logger.analytics.scope import TOLERANT, Query, Scope
from request_logger.common.json import dumps
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.errors import is_partial, reason_of
from request_logger.store.excluded_indices import MAX_PATH_CHARACTERS, ExcludedIndices
from request_logger.store.ports import EngineReader
from request_logger.store.search_answers import check_aggregations, check_hits, check_total
from scorers.base import Bucket, SumBy, Terms, TermsBy

PAGE = 1000
# How long the engine keeps the place between two pages.
_KEPT = "5m"
# Each round leaves out all indices that fail by then, so that one or two are enough, and a third for an alias.
_MOST_ROUNDS = 10
Answers = dict[Question, Any]
T = TypeVar("T")


class TooManyBucketsError(BadQuestionError):
    """The engine refuses to make so many buckets at once."""


class Asker:
    """Puts questions to the engine for one answer, and remembers which indices are left out of it: `left_out`."""

    def __init__(self, engine: EngineReader) -> None:
        self.engine = engine
        self.left_out = ExcludedIndices(engine)

    def settled(self, make: Callable[[], T], indices: str = "") -> T:
        """Return what ``make`` makes, made again where an index was left out while it ran: of the same ones throughout.

        The closed ones of ``indices`` are named, too. Raises what ``make`` does, and StoreUnavailableError where there
        is no end to it.
        """
        if indices:
            self.left_out.note_closed(indices)
        for _ in range(_MOST_ROUNDS):
            known = len(self.left_out.reasons)
            try:
                made = make()
            except BadQuestionError as error:
                if len(self.left_out.reasons) > known:
                    continue
                if self.left_out.reasons:
                    raise BadQuestionError(f"{error} (left out: {', '.join(sorted(self.left_out.reasons))})") from None
                raise
            if len(self.left_out.reasons) == known:
                return made
        raise StoreUnavailableError("one index after the other can't answer")

    def search(self, scope: Scope, body: dict[str, Any], *more: Query) -> dict[str, Any]:
        """Search the documents of a scope; ``body`` lacks the query. Give the whole answer.

        An index that can't answer is left out, see `ExcludedIndices`. Raises BadQuestionError where the engine doesn't
        understand it, TooManyBucketsError, and StoreUnavailableError where there is no answer, or only that of some
        shards: half a sum is a wrong one.
        """
        return self._search(scope, {"size": 0, "track_total_hits": False, **body, "query": scope.query(*more)})

    def sample(self, scope: Scope, body: dict[str, Any], seed: int, *more: Query) -> dict[str, Any]:
        """Search as :meth:`search` does, but the hits are a random choice, the same one for the same seed."""
        chance = {"seed": seed, "field": "_seq_no"}
        query = {"function_score": {"query": scope.query(*more), "random_score": chance, "boost_mode": "replace"}}
        return self._search(scope, {**body, "query": query})

    def scroll(self, scope: Scope, body: dict[str, Any], *more: Query, size: int = PAGE) -> Iterator[dict[str, Any]]:
        """Give all hits of a search as they are now, page by page. Raises as :meth:`search` does."""
        whole = {"size": size, **body, "query": scope.query(*more)}
        place = ""
        answer = self._complete(scope, whole, {**TOLERANT, "scroll": _KEPT})
        try:
            while hits := answer["hits"]["hits"]:
                place = str(answer.get("_scroll_id", ""))
                yield from hits
                status, found = self.engine.request("POST", "/_search/scroll", {"scroll": _KEPT, "scroll_id": place})
                answer = _checked(status, found)
        finally:
            if place:
                self.engine.request("DELETE", "/_search/scroll", {"scroll_id": place})

    def _search(self, scope: Scope, body: dict[str, Any]) -> dict[str, Any]:
        return self._complete(scope, body, TOLERANT)

    def _complete(self, scope: Scope, body: dict[str, Any], params: dict[str, str]) -> dict[str, Any]:
        """Ask until all indices but those that are left out have answered."""
        for _ in range(_MOST_ROUNDS):
            status, answer = self._send(self.left_out.narrowed(scope.indices), body, params)
            try:
                return _checked(status, answer)
            except TooManyBucketsError:
                raise
            except (BadQuestionError, StoreUnavailableError):
                if not self.left_out.learn(scope.indices, status, answer):
                    raise
        raise StoreUnavailableError("one index after the other can't answer")

    def _send(self, indices: str, body: dict[str, Any], params: dict[str, str]) -> tuple[int, Any]:
        path = f"/{quote(indices, safe='*,')}/_search"
        if len(path) <= MAX_PATH_CHARACTERS:
            return self.engine.request("POST", path, body, params=params)
        if "scroll" in params:
            raise StoreUnavailableError(f"too many indices have to be left out: {len(self.left_out.reasons)}")
        header = {"index": indices.split(","), "ignore_unavailable": True, "allow_no_indices": True}
        status, answer = self.engine.request("POST", "/_msearch", dumps(header) + b"\n" + dumps(body) + b"\n")
        found = answer.get("responses") if isinstance(answer, dict) else None
        if status != 200 or not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
            return status if status != 200 else 502, answer
        return int(found[0].get("status", 200)), found[0]

    def count(self, scope: Scope, *more: Query) -> int:
        """Count the documents of a scope. Raises as :meth:`search` does."""
        return check_total(self.search(scope, {"track_total_hits": True}, *more))

    def aggregate(self, scope: Scope, aggs: dict[str, Any], *more: Query) -> dict[str, Any]:
        """Give the ``aggregations`` of some documents. Raises as :meth:`search` does.

        Where no index matches, an engine leaves them out: the answer is empty.
        """
        return check_aggregations(aggs, self.search(scope, {"aggs": aggs}, *more))

    def answers(self, scope: Scope, questions: Iterable[Question], *more: Query) -> Answers:
        """Answer each question over the documents of a scope, exactly. Raises as :meth:`search` does."""
        asked = list(dict.fromkeys(questions))
        try:
            found = self.aggregate(scope, ask(asked), *more)
        except TooManyBucketsError:
            plain = [question for question in asked if not isinstance(question, (Terms, TermsBy, SumBy))]
            found = self.aggregate(scope, ask(plain), *more)
        answered: Answers = {}
        for question in asked:
            try:
                answered[question] = read_one(question, found[key_of(question)])
            except (KeyError, NotExactError):
                answered[question] = self._paged(scope, question, *more)
        return answered

    def pages(
        self, scope: Scope, sources: dict[str, Any], aggs: dict[str, Any] | None = None, *more: Query, size: int = PAGE
    ) -> Iterator[dict[str, Any]]:
        """Give all buckets of a composite aggregation; ``sources`` by name. Raises as :meth:`search` does."""
        after: Any = None
        while True:
            composite: dict[str, Any] = {"size": size, "sources": [{name: source} for name, source in sources.items()]}
            if after is not None:
                composite["after"] = after
            body = {"pages": {"composite": composite, **({"aggs": aggs} if aggs else {})}}
            page = self.aggregate(scope, body, *more).get("pages", {"buckets": []})
            yield from page["buckets"]
            before, after = after, page.get("after_key")
            if after is None or len(page["buckets"]) < size:
                return
            if after == before:
                raise StoreUnavailableError(
                    "the engine's answer to a search can't be used: a page is followed by itself"
                )

    def _paged(self, scope: Scope, question: Question, *more: Query) -> Any:
        """Answer a question of terms from a composite aggregation; any other has no values where no index is."""
        match question:
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
        return read_one(question, _NOTHING)


# What an engine would answer over no documents.
_NOTHING = {"value": 0, "doc_count": 0, "count": 0, "sum": 0.0, "sum_of_squares": 0.0, "min": 0.0, "max": 0.0}


def _terms(field: str) -> dict[str, Any]:
    return {"terms": {"field": f"{PREFIX}{field}"}}


def _checked(status: int, answer: Any) -> dict[str, Any]:
    if status == 200:
        if not isinstance(answer, dict) or not is_partial(answer):
            return check_hits(answer)
        # Half a sum is a wrong one; the same question would fail again.
        raise StoreUnavailableError(f"the engine left documents out: {_why(answer)}")
    reason = _why(answer)
    if status in (400, 404):
        raise BadQuestionError(f"the engine does not take the question: {reason}")
    raise StoreUnavailableError(f"the engine can't answer ({status}): {reason}")


def _why(answer: Any) -> str:
    """Give the engine's reason. Raises TooManyBucketsError where that is it."""
    reason = "timed out" if isinstance(answer, dict) and answer.get("timed_out") else reason_of(answer)
    # It may be the cause of the cause.
    whole = dumps(answer).decode().lower()
    if "too_many_buckets" in whole or "too many buckets" in whole:
        raise TooManyBucketsError(reason)
    return reason
