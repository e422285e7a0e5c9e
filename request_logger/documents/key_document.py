"""The document of a join key's value: which prediction has it, and feedback that waits for that prediction. Pure code.

It has its own index, since it isn't a prediction: nothing that reads predictions must find it. Its id is a hash of the
deployment's index, the key and the value, so that one real-time get finds it. It has the deployment's fields and:

- ``join_key``, ``index``: the key, and the index (without a period) of its predictions.
- ``claimed_by``: the ``id`` of the first prediction with this value, its ``time``, and the ``row`` if only one row of a
  batch has the value. Never changed by a later prediction. No name of a part, which a refused document may lack.
- ``shared``: another prediction has the same value.
- ``feedback``: feedback that arrived before its prediction, joined as in any document.
- ``waiting_id``: the value, if feedback waits under it as an id, where it would wait for a prediction with this id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from request_logger.common.times import time_key
from request_logger.documents.document import Document, join
from request_logger.documents.event import OWNER_FIELDS
from request_logger.documents.parts import Part

_KEY, _INDEX, _CLAIMED_BY, _SHARED, _WAITING_ID = "join_key", "index", "claimed_by", "shared", "waiting_id"
# What a waiting feedback has added to the document.
_OF_FEEDBACK = ("feedback", "nodes", "Ce-Modelid")


@dataclass(frozen=True, slots=True)
class Target:
    """A prediction: its request id, and the row of the batch that has the key; None for the whole prediction."""

    id: str
    row: int | None = None


def key_id(index: str, path: str, value: str) -> str:
    """Return the id of the document of a key's value; ``index`` is that of the predictions, without a period."""
    return hashlib.sha256("\0".join((index, path, value)).encode("utf-8", "surrogatepass")).hexdigest()


def is_key_document(document: Mapping[str, Any]) -> bool:
    """Return whether a document is that of a key's value."""
    return isinstance(document.get(_KEY), str) and isinstance(document.get(_INDEX), str)


def key_header(header: Mapping[str, Any]) -> Document:
    """Return the fields of the deployment, of those of an event."""
    return {name: value for name, value in header.items() if name not in ("RequestId", "Ce-Modelid")}


def target_of(document: Document | None) -> Target | None:
    """Return the prediction that has the key; None if none is known yet."""
    found = (document or {}).get(_CLAIMED_BY)
    if not isinstance(found, dict) or not isinstance(found.get("id"), str):
        return None
    row = found.get("row")
    return Target(found["id"], row if type(row) is int and row >= 0 else None)


def has_feedback(document: Document | None) -> bool:
    """Return whether feedback waits in the document."""
    return isinstance((document or {}).get("feedback"), dict)


def waiting_id(document: Document | None) -> str | None:
    """Return the id, equal to the key's value, under which feedback may wait; None if none is known to wait there."""
    found = (document or {}).get(_WAITING_ID)
    return found if isinstance(found, str) else None


def is_shared(document: Document | None) -> bool:
    """Return whether several predictions have the key's value."""
    return (document or {}).get(_SHARED) is True


def claimed(stored: Document | None, path: str, index: str, part: Part, target: Target) -> Document:
    """Return the document with a prediction that has the key; ``stored`` itself if that changes nothing.

    The first prediction stays; another one marks the key as shared.
    """
    known = target_of(stored)
    if stored is not None and known is not None:
        return stored if known == target or is_shared(stored) else {**stored, _SHARED: True}
    row = {} if target.row is None else {"row": target.row}
    return {**_made(stored, path, index, part), _CLAIMED_BY: {"id": target.id, **row, "time": part.timestamp}}


def with_feedback(stored: Document | None, path: str, index: str, part: Part) -> Document:
    """Return the document with a waiting feedback; ``stored`` itself once the prediction is known."""
    if stored is not None and target_of(stored) is not None:
        return stored
    return join(_made(stored, path, index, part), part)


def with_waiting_id(stored: Document | None, path: str, index: str, part: Part, id: str) -> Document:
    """Return the document with the note that feedback waits under an id; ``stored`` itself if there is no need."""
    if stored is not None and (target_of(stored) is not None or waiting_id(stored) is not None):
        return stored
    return {**_made(stored, path, index, part), _WAITING_ID: id}


def without_feedback(stored: Document | None, seen: Document) -> Document | None:
    """Return the document without its feedback, unless it has changed since it was ``seen``.

    Its time is that of the prediction then, so that both get old together.
    """
    if stored is None or stored != seen:
        return stored
    kept = {name: value for name, value in stored.items() if name not in _OF_FEEDBACK}
    time = stored.get(_CLAIMED_BY, {}).get("time")
    return {**kept, "@timestamp": time} if isinstance(time, str) else kept


def merged(one: Document, other: Document, feedback: list[Part]) -> Document:
    """Return a commutative, idempotent merge of two copies; ``feedback`` is what waits in ``other``."""
    joined = one
    for part in feedback:
        joined = join(joined, part)
    mine, theirs = target_of(one), target_of(other)
    first = one if theirs is None or (mine is not None and _order(one) <= _order(other)) else other
    marks: Document = {}
    if is_shared(one) or is_shared(other) or (mine is not None and theirs is not None and mine != theirs):
        marks[_SHARED] = True
    id = waiting_id(one) or waiting_id(other)
    if id is not None:
        marks[_WAITING_ID] = id
    if _CLAIMED_BY in first:
        marks[_CLAIMED_BY] = first[_CLAIMED_BY]
    if not has_feedback(joined):
        marks["@timestamp"] = min(str(one.get("@timestamp")), str(other.get("@timestamp")))
    result = {**{name: other[name] for name in OWNER_FIELDS if name in other}, **joined, **marks}
    return one if result == one else result


def _order(document: Document) -> tuple[int, str, int]:
    """Return what decides which of two predictions was the first: the time, then id and row."""
    found, target = document[_CLAIMED_BY], target_of(document)
    row = -1 if target is None or target.row is None else target.row
    return time_key(found.get("time")) or 0, str(found["id"]), row


def _made(stored: Document | None, path: str, index: str, part: Part) -> Document:
    """Return the document, made for a part if there is none."""
    fields = {**key_header(part.header), _KEY: path, _INDEX: index}
    return {**fields, "@timestamp": part.timestamp} if stored is None else {**fields, **stored}
