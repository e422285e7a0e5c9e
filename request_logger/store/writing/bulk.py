"""Lines of a _bulk request, and the one reader of what the engine answers to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from request_logger.store.changes import UnreadableAnswerError
from request_logger.store.writing.states import Kind
from request_logger.store.writing.version_cache import Known

Verb = Literal["create", "update", "index", "delete"]

# What can't be indexed in this form, however often it is tried: a mapping conflict, too many fields, a malformed value.
_REFUSED_STATUS = (400, 413, 422)
# What stands in the place of an id where a pipeline has ended an upsert.
_NO_IDS = (None, "auto-generated")
# Errors that are about the index or the way it is asked, not about the document's content: no form of it helps.
_UNUSABLE = ("index_closed_exception", "routing_missing_exception", "invalid_index_name_exception")


@dataclass(slots=True)
class Request:
    """One action of a _bulk: its lines, and the document that it would store (JSON, empty where none)."""

    verb: Verb
    id: str
    body: bytes
    source: bytes = b""

    @classmethod
    def create(cls, index: str, id: str, source: bytes) -> Request:
        """Store the document if there is none, else end in a conflict."""
        line = orjson.dumps({"create": {"_index": index, "_id": id}})
        return cls("create", id, b"%b\n%b\n" % (line, source), source)

    @classmethod
    def create_or_read(cls, index: str, id: str, source: bytes) -> Request:
        """Store the document if there is none, else answer with the one that is there."""
        line = orjson.dumps({"update": {"_index": index, "_id": id}})
        return cls("update", id, b'%b\n{"doc":{},"_source":true,"upsert":%b}\n' % (line, source), source)

    @classmethod
    def read(cls, index: str, id: str) -> Request:
        """Answer with the document if there is one."""
        line = orjson.dumps({"update": {"_index": index, "_id": id}})
        return cls("update", id, b'%b\n{"doc":{},"_source":true}\n' % line)

    @classmethod
    def replace(cls, index: str, id: str, known: Known, source: bytes) -> Request:
        """Store the document if the one that is there is still the known one."""
        line = orjson.dumps({"index": _conditional(index, id, known)})
        return cls("index", id, b"%b\n%b\n" % (line, source), source)

    @classmethod
    def store(cls, index: str, id: str, source: bytes) -> Request:
        """Store the document, whatever is there."""
        line = orjson.dumps({"index": {"_index": index, "_id": id}})
        return cls("index", id, b"%b\n%b\n" % (line, source), source)

    @classmethod
    def delete(cls, index: str, id: str, known: Known) -> Request:
        """Remove the document if it is still the known one."""
        return cls("delete", id, orjson.dumps({"delete": _conditional(index, id, known)}) + b"\n")


def _conditional(index: str, id: str, known: Known) -> dict[str, Any]:
    return {"_index": index, "_id": id, "if_seq_no": known.seq_no, "if_primary_term": known.primary_term}


@dataclass(slots=True)
class Outcome:
    """What became of one request. ``version`` is (seq_no, primary_term).

    ``is_trouble``: the index is slow or has no shard that answers, so that requests with it take long.
    """

    kind: Kind
    version: tuple[int, int] | None = None
    source: dict[str, Any] | None = None
    reason: str = ""
    is_trouble: bool = False


def read_answer(answer: Any, requests: Sequence[Request]) -> list[Outcome]:
    """Return the outcome of each request of a _bulk, in order. Raises UnreadableAnswerError.

    An answer that has another number of items, or items of other documents, isn't the answer to the requests.
    OpenSearch changes the order of the items that a pipeline ends; of a single request the item is certain.
    """
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list) or len(items) != len(requests):
        raise UnreadableAnswerError("the engine's answer to _bulk doesn't have one item for each request")
    try:
        outcomes = [_item(request, item) for request, item in zip(requests, items, strict=True)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Not the error's text, which may quote the answer.
        raise UnreadableAnswerError(
            f"the engine's answer to _bulk has a broken item ({type(error).__name__})"
        ) from None
    if sum(is_nameless for _, is_nameless in outcomes) > 1:
        raise UnreadableAnswerError("the engine's answer to _bulk doesn't say of which documents its items are")
    return [outcome for outcome, _ in outcomes]


def _item(request: Request, item: dict[str, Any]) -> tuple[Outcome, bool]:
    """Return the outcome of a request, and whether its item doesn't name its document."""
    ((verb, result),) = item.items()
    # An upsert that a pipeline ends is answered as if it had been an index request.
    if verb != request.verb and (verb, request.verb) != ("index", "update"):
        raise ValueError(verb)
    id = result.get("_id")
    if id == request.id:
        return _outcome(request.verb, result), False
    if id not in _NO_IDS:
        raise ValueError(id)
    return _outcome(request.verb, result), True


def _outcome(verb: Verb, result: dict[str, Any]) -> Outcome:
    status = result["status"]
    if status < 300:
        return _success(verb, result)
    reason = _reason(result.get("error"))
    if status == 409:
        return Outcome(Kind.CONFLICT, reason=reason)
    if status == 404:
        return Outcome(Kind.MISSING, reason=reason)
    if status in _REFUSED_STATUS:
        return Outcome(Kind.UNUSABLE if reason.startswith(_UNUSABLE) else Kind.REFUSED, reason=reason)
    return Outcome(Kind.LATER, reason=f"{status}: {reason}", is_trouble=status == 503)


def _success(verb: Verb, result: dict[str, Any]) -> Outcome:
    is_noop = result.get("result") == "noop"
    if is_noop and "_seq_no" not in result and "get" not in result:
        # Stored nowhere: an ingest pipeline of the operator's has dropped it.
        return Outcome(Kind.UNUSABLE, reason="dropped: an ingest pipeline of the index drops the document")
    version = (result["_seq_no"], result["_primary_term"])
    if type(version[0]) is not int or type(version[1]) is not int:
        raise TypeError("_seq_no")
    if verb == "update" and is_noop:
        source = result["get"]["_source"]
        if not isinstance(source, dict):
            raise TypeError("_source")
        return Outcome(Kind.FOUND, version, source)
    return Outcome(Kind.DONE, version)


def _reason(error: Any) -> str:
    """Put an engine's error and its causes into one line."""
    texts: list[str] = []
    # The engines nest a handful of causes; a longer chain is not an engine's.
    while isinstance(error, dict) and len(texts) < 10:
        texts.append(f"{error.get('type', 'error')}: {error.get('reason', '')}")
        error = error.get("caused_by")
    return " <- ".join(texts).replace("\n", " ") or str(error)[:1000]
