"""Finds and removes the dead letters of what is erased: rejected documents, and Kafka records that weren't events.

They are removed without the store's writer, which only adds dead letters.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from request_logger.common.json import as_object, dumps, loads
from request_logger.documents.key_document import target_of
from request_logger.erasure.subjects import Subject, subject_of
from request_logger.kafka.letter_content import INDEX
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import Hit, Scan
from request_logger.store.indices.templates import DEAD_LETTER_INDEX

_PAGE = 20
# A shorter id may be in a record by chance. The records aren't events, so nothing else says what they are about.
_LEAST_CHARACTERS = 16


def letters_of(engine: SearchEngine, subjects: Sequence[Subject], key_ids: frozenset[str]) -> Iterator[Hit]:
    """Yield the dead letters of some subjects, and those of the join keys' documents ``key_ids``.

    Raises ScanError and StoreUnavailableError.
    """
    with Scan(engine, f"/{DEAD_LETTER_INDEX}", {"match_all": {}}, page=_PAGE) as scan:
        for hits in scan.pages():
            yield from (hit for hit in hits if is_letter_of(hit.source, subjects, key_ids))


def is_letter_of(letter: Mapping[str, Any], subjects: Sequence[Subject], key_ids: frozenset[str]) -> bool:
    """Return whether a dead letter is of one of some subjects, or of the document of a join key."""
    ids = {subject.id for subject in subjects}
    id, document = str(letter.get("id", "")), _document(letter)
    if str(letter.get("index", "")).startswith(INDEX):
        return _is_record_of(document, ids)
    if id in key_ids:
        return True
    target = target_of(document)
    # Any letter of a batch may have the whole body, so that of another row goes with the erased one.
    return (target.id if target is not None else subject_of(Hit("", id, document, None)).id) in ids


def remove_letters(engine: SearchEngine, ids: Sequence[str]) -> int:
    """Remove dead letters; return how many were there.

    A dead letter is never changed: one that is stored meanwhile under its id has the same content. Raises
    StoreUnavailableError, also if the search engine keeps one.
    """
    lines = [dumps({"delete": {"_index": DEAD_LETTER_INDEX, "_id": id}}) for id in ids]
    if not lines:
        return 0
    statuses = [item["delete"].get("status") for item in engine.bulk(b"\n".join(lines) + b"\n")["items"]]
    kept = [status for status in statuses if status not in (200, 404)]
    if kept:
        raise StoreUnavailableError(f"the engine answered {kept[0]} to the removal of a dead letter")
    return statuses.count(200)


def _document(letter: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return as_object(loads(letter["document"]))
    except (KeyError, TypeError, ValueError):
        return {}


def _is_record_of(record: Mapping[str, Any], ids: Set[str]) -> bool:
    headers = record.get("headers")
    pairs = [pair for pair in headers if isinstance(pair, list)] if isinstance(headers, list) else []
    values = [value for pair in pairs for value in pair[1:] if isinstance(value, str)]
    if not ids.isdisjoint(values):
        return True
    held = [
        *(value.encode() for value in values),
        *(_decoded(record.get(name)) for name in ("value_base64", "key_base64")),
    ]
    return any(id.encode() in each for id in ids if len(id) >= _LEAST_CHARACTERS for each in held)


def _decoded(text: Any) -> bytes:
    try:
        return b64decode(text) if isinstance(text, str) else b""
    except ValueError:
        return b""
