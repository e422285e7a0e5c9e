"""Sends the requests of rounds: the only module of the writer that calls the search engine. Stateless."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from request_logger.common.json import dumps
from request_logger.store.changes import (
    RefusedRequestError,
    StoreUnavailableError,
    TooBusyError,
    TooLargeError,
    UnreadableAnswerError,
)
from request_logger.store.indices.catalog import list_indices
from request_logger.store.ports import EngineReader
from request_logger.store.writing.bulk import Outcome, read_answer
from request_logger.store.writing.ports import Engine
from request_logger.store.writing.rounds import (
    Answer,
    Bulk,
    Failure,
    GetResult,
    Listing,
    Lookup,
    LookupResults,
    NoAnswer,
    Round,
)
from request_logger.store.writing.version_cache import Known

_FAILURES: Mapping[type[Exception], Failure] = {
    TooLargeError: Failure.TOO_LARGE,
    TooBusyError: Failure.TOO_BUSY,
    RefusedRequestError: Failure.REFUSED,
    UnreadableAnswerError: Failure.UNREADABLE,
}
_WHOLE = {413: TooLargeError, 429: TooBusyError}
# Errors of a get that mean that the index has no such document; others (no shard, a circuit breaker) are transient.
_NOTHING_THERE = (
    "index_not_found_exception",
    "index_closed_exception",
    "routing_missing_exception",
    "illegal_argument_exception",
)


def perform(engine: Engine, wanted: Round) -> Answer:
    """Send the request of a round, and return its answer. Never raises: a failure is returned as NoAnswer."""
    try:
        match wanted:
            case Bulk():
                return send(engine, wanted)
            case Listing():
                return list_indices(engine, wanted.names)
            case Lookup():
                return look(engine, [(name, document.id) for document, name in _pairs(wanted)], wanted)
            case _:
                return engine.ping()
    except StoreUnavailableError as error:
        return NoAnswer(_FAILURES.get(type(error), Failure.UNAVAILABLE), str(error))
    except Exception as error:
        # A defect of this program or a library. The documents are retried with growing pauses, in ever smaller rounds.
        return NoAnswer(Failure.UNREADABLE, f"internal error: {type(error).__name__}")


def send(engine: Engine, bulk: Bulk) -> list[Outcome]:
    """Send a _bulk and return the outcome of each of its items. Raises StoreUnavailableError."""
    requests = [document.request for document in bulk.documents if document.request is not None]
    return read_answer(engine.bulk(bulk.body), requests)


def _pairs(wanted: Lookup) -> list[tuple[Any, str]]:
    return [(document, name) for document, names in zip(wanted.documents, wanted.names, strict=True) for name in names]


def look(engine: EngineReader, gets: list[tuple[str, str]], wanted: Lookup) -> LookupResults:
    """Return, for each document of ``wanted``, the result of a real-time get in each of its indices."""
    found = iter(get_documents(engine, gets))
    return [list(islice(found, len(names))) for names in wanted.names]


def find(engine: EngineReader, index: str, id: str) -> Known | None:
    """Return a document from the indices of its name, the oldest index first. Raises StoreUnavailableError."""
    names = list_indices(engine, [index])[index] or []
    seen = get_documents(engine, [(name, id) for name in names]) if names else []
    problem = next((result.problem for result in seen if result.problem), "")
    if problem:
        raise StoreUnavailableError(problem)
    return next((result.known for result in seen if result.known is not None), None)


def get_documents(engine: EngineReader, gets: list[tuple[str, str]]) -> list[GetResult]:
    """Return the results of real-time gets by (index, id), in order. Raises StoreUnavailableError or a subclass."""
    docs = [{"_index": name, "_id": id} for name, id in gets]
    status, answer = engine.request("POST", "/_mget", {"docs": docs})
    if status != 200:
        raise _WHOLE.get(status, StoreUnavailableError)(f"the engine answered {status} to _mget of {len(docs)}")
    items = answer.get("docs") if isinstance(answer, dict) else None
    if not isinstance(items, list) or len(items) != len(gets):
        raise UnreadableAnswerError("the engine's answer to _mget doesn't have one item for each get")
    return [_get_result(item, name) for item, (name, _) in zip(items, gets, strict=True)]


def _get_result(item: Any, name: str) -> GetResult:
    if not isinstance(item, dict):
        raise UnreadableAnswerError("the engine's answer to _mget has an item that is not an object")
    error = item.get("error")
    if error is not None:
        kind = str(error.get("type", "error") if isinstance(error, dict) else error)
        return GetResult() if kind in _NOTHING_THERE else GetResult(problem=f"{name}: {kind[:100]}")
    if item.get("found") is False:
        return GetResult()
    seq_no, term, source = item.get("_seq_no"), item.get("_primary_term"), item.get("_source")
    if type(seq_no) is not int or type(term) is not int or not isinstance(source, dict):
        raise UnreadableAnswerError("the engine's answer to _mget has a document without version or source")
    return GetResult(Known(seq_no, term, dumps(source), name))
