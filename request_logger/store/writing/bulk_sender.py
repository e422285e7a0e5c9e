"""Carries out rounds: the only place of the writer that talks to the engine. It keeps no state."""

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
    Listing,
    Look,
    NoAnswer,
    Round,
    Sighting,
    Sightings,
)
from request_logger.store.writing.version_cache import Known

_FAILURES: Mapping[type[Exception], Failure] = {
    TooLargeError: Failure.TOO_LARGE,
    TooBusyError: Failure.TOO_BUSY,
    RefusedRequestError: Failure.REFUSED,
    UnreadableAnswerError: Failure.UNREADABLE,
}
_WHOLE = {413: TooLargeError, 429: TooBusyError}
# Errors of a get that say that the index has nothing to give; others (no shard, a circuit breaker) can pass.
_NOTHING_THERE = (
    "index_not_found_exception",
    "index_closed_exception",
    "routing_missing_exception",
    "illegal_argument_exception",
)


def perform(engine: Engine, wanted: Round) -> Answer:
    """Ask the engine what a round wants to know. Never raises: what fails is NoAnswer."""
    try:
        match wanted:
            case Bulk():
                return send(engine, wanted)
            case Listing():
                return list_indices(engine, wanted.names)
            case Look():
                return look(engine, [(name, document.id) for document, name in _pairs(wanted)], wanted)
            case _:
                return engine.ping()
    except StoreUnavailableError as error:
        return NoAnswer(_FAILURES.get(type(error), Failure.UNAVAILABLE), str(error))
    except Exception as error:
        # A mistake of this program or a library. What it was about is tried again, ever less often, and by itself.
        return NoAnswer(Failure.UNREADABLE, f"internal error: {type(error).__name__}")


def send(engine: Engine, bulk: Bulk) -> list[Outcome]:
    """Send a _bulk and return what became of each of its requests. Raises StoreUnavailableError."""
    requests = [document.request for document in bulk.documents if document.request is not None]
    return read_answer(engine.bulk(bulk.body), requests)


def _pairs(wanted: Look) -> list[tuple[Any, str]]:
    return [(document, name) for document, names in zip(wanted.documents, wanted.names, strict=True) for name in names]


def look(engine: EngineReader, gets: list[tuple[str, str]], wanted: Look) -> Sightings:
    """Get documents by real-time gets: for each document of ``wanted`` what each of its indices says of it."""
    found = iter(get_documents(engine, gets))
    return [list(islice(found, len(names))) for names in wanted.names]


def find(engine: EngineReader, index: str, id: str) -> Known | None:
    """Search for a document in all indices of its name; of several the oldest's. Raises StoreUnavailableError."""
    names = list_indices(engine, [index])[index] or []
    seen = get_documents(engine, [(name, id) for name in names]) if names else []
    problem = next((sighting.problem for sighting in seen if sighting.problem), "")
    if problem:
        raise StoreUnavailableError(problem)
    return next((sighting.known for sighting in seen if sighting.known is not None), None)


def get_documents(engine: EngineReader, gets: list[tuple[str, str]]) -> list[Sighting]:
    """Get documents by (index, id), in order. Raises StoreUnavailableError and its subclasses."""
    docs = [{"_index": name, "_id": id} for name, id in gets]
    status, answer = engine.request("POST", "/_mget", {"docs": docs})
    if status != 200:
        raise _WHOLE.get(status, StoreUnavailableError)(f"the engine answered {status} to _mget of {len(docs)}")
    items = answer.get("docs") if isinstance(answer, dict) else None
    if not isinstance(items, list) or len(items) != len(gets):
        raise UnreadableAnswerError("the engine's answer to _mget doesn't have one item for each get")
    return [_sighting(item, name) for item, (name, _) in zip(items, gets, strict=True)]


def _sighting(item: Any, name: str) -> Sighting:
    if not isinstance(item, dict):
        raise UnreadableAnswerError("the engine's answer to _mget has an item that is no object")
    error = item.get("error")
    if error is not None:
        kind = str(error.get("type", "error") if isinstance(error, dict) else error)
        return Sighting() if kind in _NOTHING_THERE else Sighting(problem=f"{name}: {kind[:100]}")
    if item.get("found") is False:
        return Sighting()
    seq_no, term, source = item.get("_seq_no"), item.get("_primary_term"), item.get("_source")
    if type(seq_no) is not int or type(term) is not int or not isinstance(source, dict):
        raise UnreadableAnswerError("the engine's answer to _mget has a document without version or source")
    return Sighting(Known(seq_no, term, dumps(source), name))
