"""Lines of a _bulk request, and what the engine says of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from request_logger.store.cache import Known

Action = Literal["create", "update", "index", "delete"]

# What can't be indexed as it is, whatever is tried again: a mapping conflict, too many fields, a malformed value.
_REFUSED_STATUS = (400, 413, 422)


@dataclass(slots=True)
class Request:
    """One action of a _bulk: its lines, and the document that it would store (JSON, empty where none)."""

    action: Action
    body: bytes
    source: bytes = b""

    @classmethod
    def create(cls, index: str, id: str, source: bytes) -> Request:
        """Store the document if there is none, else end in a conflict."""
        line = orjson.dumps({"create": {"_index": index, "_id": id}})
        return cls("create", b"%b\n%b\n" % (line, source), source)

    @classmethod
    def create_or_read(cls, index: str, id: str, source: bytes) -> Request:
        """Store the document if there is none, else answer with the one that is there."""
        line = orjson.dumps({"update": {"_index": index, "_id": id}})
        return cls("update", b'%b\n{"doc":{},"_source":true,"upsert":%b}\n' % (line, source), source)

    @classmethod
    def read(cls, index: str, id: str) -> Request:
        """Answer with the document if there is one."""
        line = orjson.dumps({"update": {"_index": index, "_id": id}})
        return cls("update", b'%b\n{"doc":{},"_source":true}\n' % line)

    @classmethod
    def replace(cls, index: str, id: str, known: Known, source: bytes) -> Request:
        """Store the document if the one that is there is still the known one."""
        line = orjson.dumps({"index": _conditional(index, id, known)})
        return cls("index", b"%b\n%b\n" % (line, source), source)

    @classmethod
    def store(cls, index: str, id: str, source: bytes) -> Request:
        """Store the document, whatever is there."""
        line = orjson.dumps({"index": {"_index": index, "_id": id}})
        return cls("index", b"%b\n%b\n" % (line, source), source)

    @classmethod
    def delete(cls, index: str, id: str, known: Known) -> Request:
        """Remove the document if it is still the known one."""
        return cls("delete", orjson.dumps({"delete": _conditional(index, id, known)}) + b"\n")


def _conditional(index: str, id: str, known: Known) -> dict[str, Any]:
    return {"_index": index, "_id": id, "if_seq_no": known.seq_no, "if_primary_term": known.primary_term}


@dataclass(slots=True)
class Outcome:
    """What became of one action.

    ``done``: stored (or removed); ``found``: it was there, ``source`` is what; ``missing``: there is no such document
    or index; ``conflict``: another writer was faster; ``refused``: it can't be indexed in this form; ``too large``: the
    engine doesn't take so many bytes; ``later``: it can't take it now. ``version`` is (seq_no, primary_term).
    """

    kind: Literal["done", "found", "missing", "conflict", "refused", "too large", "later"]
    version: tuple[int, int] | None = None
    source: dict[str, Any] | None = None
    reason: str = ""


def read_answer(answer: dict[str, Any]) -> Iterator[Outcome]:
    """Give the outcome of each action, in the order of the request."""
    for item in answer["items"]:
        ((action, result),) = item.items()
        yield _outcome(action, result)


def _outcome(action: str, result: dict[str, Any]) -> Outcome:
    status = result["status"]
    if status < 300:
        version = (result["_seq_no"], result["_primary_term"])
        if action == "update" and result.get("result") == "noop":
            return Outcome("found", version, result["get"]["_source"])
        return Outcome("done", version)
    reason = _reason(result.get("error"))
    if status == 409:
        return Outcome("conflict", reason=reason)
    if status == 404:
        return Outcome("missing", reason=reason)
    if status in _REFUSED_STATUS:
        return Outcome("refused", reason=reason)
    return Outcome("later", reason=f"{status}: {reason}")


def _reason(error: Any) -> str:
    """Put an engine's error and its causes into one line."""
    texts = []
    while isinstance(error, dict):
        texts.append(f"{error.get('type', 'error')}: {error.get('reason', '')}")
        error = error.get("caused_by")
    return " <- ".join(texts).replace("\n", " ") or str(error)
