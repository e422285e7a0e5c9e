"""The _bulk protocol: builds the lines of requests, and reads the items of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from request_logger.store.changes import UnreadableAnswerError
from request_logger.store.errors import lacking_privilege
from request_logger.store.writing.states import Kind
from request_logger.store.writing.version_cache import Known

Verb = Literal["create", "update", "index", "delete"]

# A document that can't be indexed in this form: a mapping conflict, too many fields, a malformed value. No retry helps.
_REFUSED_STATUS = (400, 413, 422)
# Values of _id in an item whose upsert was dropped by an ingest pipeline.
_NO_IDS = (None, "auto-generated")
# Errors about the index or the request, not about the document's content: no other form of the document helps.
_UNUSABLE = ("index_closed_exception", "routing_missing_exception", "invalid_index_name_exception")


@dataclass(slots=True)
class BulkItem:
    """One item of a _bulk: its lines, and the document that it stores (JSON, empty if none).

    The lines are in pieces, of which the document is one: a large document is copied only once, into the request.
    """

    verb: Verb
    id: str
    pieces: tuple[bytes, ...]
    source: bytes = b""

    @property
    def size(self) -> int:
        """The length of its lines in bytes."""
        return sum(map(len, self.pieces))

    @classmethod
    def create(cls, index: str, id: str, source: bytes) -> BulkItem:
        """Build the item that stores the document if it doesn't exist, and fails with a conflict if it does."""
        line = orjson.dumps({"create": {"_index": index, "_id": id}})
        return cls("create", id, (line, b"\n", source, b"\n"), source)

    @classmethod
    def create_or_read(cls, index: str, id: str, source: bytes) -> BulkItem:
        """Build the item that stores the document if it doesn't exist, and returns the existing one if it does."""
        line = orjson.dumps({"update": {"_index": index, "_id": id}})
        return cls("update", id, (line, b'\n{"doc":{},"_source":true,"upsert":', source, b"}\n"), source)

    @classmethod
    def read(cls, index: str, id: str) -> BulkItem:
        """Build the item that returns the document if it exists."""
        line = orjson.dumps({"update": {"_index": index, "_id": id}})
        return cls("update", id, (line, b'\n{"doc":{},"_source":true}\n'))

    @classmethod
    def replace(cls, index: str, id: str, known: Known, source: bytes) -> BulkItem:
        """Build the item that replaces the known version, and fails with a conflict if there is another."""
        line = orjson.dumps({"index": _conditional(index, id, known)})
        return cls("index", id, (line, b"\n", source, b"\n"), source)

    @classmethod
    def store(cls, index: str, id: str, source: bytes) -> BulkItem:
        """Build the item that stores the document unconditionally."""
        line = orjson.dumps({"index": {"_index": index, "_id": id}})
        return cls("index", id, (line, b"\n", source, b"\n"), source)

    @classmethod
    def delete(cls, index: str, id: str, known: Known) -> BulkItem:
        """Build the item that deletes the known version, and fails with a conflict if there is another."""
        return cls("delete", id, (orjson.dumps({"delete": _conditional(index, id, known)}), b"\n"))


def _conditional(index: str, id: str, known: Known) -> dict[str, Any]:
    return {"_index": index, "_id": id, "if_seq_no": known.seq_no, "if_primary_term": known.primary_term}


@dataclass(slots=True)
class Outcome:
    """The outcome of one item. ``version`` is (seq_no, primary_term), ``source`` the document that it returned.

    ``is_slow``: the index is slow or has no shard that answers, so it delays every request that it is part of.
    ``is_forbidden``: the user lacks a privilege, which ``reason`` names.
    """

    kind: Kind
    version: tuple[int, int] | None = None
    source: dict[str, Any] | None = None
    reason: str = ""
    is_slow: bool = False
    is_forbidden: bool = False


def read_answer(answer: Any, requests: Sequence[BulkItem]) -> list[Outcome]:
    """Return the outcome of each item of a _bulk, in order of the requests.

    Raises UnreadableAnswerError if the answer has another number of items, or items of other documents. OpenSearch
    changes the order of the items that an ingest pipeline drops, and doesn't name their documents; one such item can
    still be assigned, several can't.
    """
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list) or len(items) != len(requests):
        raise UnreadableAnswerError("the engine's answer to _bulk doesn't have one item for each request")
    try:
        outcomes = [_item(request, item) for request, item in zip(requests, items, strict=True)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Without the error's text, which may quote the answer.
        raise UnreadableAnswerError(
            f"the engine's answer to _bulk has a broken item ({type(error).__name__})"
        ) from None
    if sum(is_nameless for _, is_nameless in outcomes) > 1:
        raise UnreadableAnswerError("the engine's answer to _bulk doesn't say of which documents its items are")
    return [outcome for outcome, _ in outcomes]


def _item(request: BulkItem, item: dict[str, Any]) -> tuple[Outcome, bool]:
    """Return the outcome of a request, and whether the answer's item lacks the document's id."""
    ((verb, result),) = item.items()
    # An upsert that an ingest pipeline drops is answered like an index request.
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
    lacking = lacking_privilege(reason)
    if status == 403 and lacking:
        # As it isn't the document's fault, it is retried: an operator can grant the privilege meanwhile.
        return Outcome(Kind.LATER, reason=lacking, is_forbidden=True)
    return Outcome(Kind.LATER, reason=f"{status}: {reason}", is_slow=status == 503)


def _success(verb: Verb, result: dict[str, Any]) -> Outcome:
    is_noop = result.get("result") == "noop"
    if is_noop and "_seq_no" not in result and "get" not in result:
        # Not stored: an ingest pipeline, which the operator has configured, has dropped it.
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
    """Return an error of the search engine and its causes in one line."""
    texts: list[str] = []
    # Search engines nest a handful of causes; a longer chain isn't theirs.
    while isinstance(error, dict) and len(texts) < 10:
        texts.append(f"{error.get('type', 'error')}: {error.get('reason', '')}")
        error = error.get("caused_by")
    return " <- ".join(texts).replace("\n", " ") or str(error)[:1000]
