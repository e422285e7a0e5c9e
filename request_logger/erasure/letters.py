"""Finds and removes the dead letters of what is erased: rejected documents, and Kafka records that were no events.

They are removed without the store's writer, which only adds dead letters.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from request_logger.common.json import dumps, loads
from request_logger.common.names import document_id, item_id
from request_logger.documents.key_document import target_of
from request_logger.erasure.subjects import Subject, subject_of
from request_logger.kafka.letter_content import INDEX
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import Hit, Scan
from request_logger.store.indices.templates import DEAD_LETTER_INDEX

_PAGE = 20
# A shorter id may be in a record by chance. The records are no events, so nothing else says what they are about.
_LEAST_CHARACTERS = 16


def letters_of(engine: SearchEngine, subjects: Sequence[Subject], key_ids: frozenset[str]) -> Iterator[Hit]:
    """Yield the dead letters of some subjects, and those of the join keys' documents ``key_ids``.

    Raises ScanError and StoreUnavailableError.
    """
    rows: dict[str, set[int | None]] = {}
    for subject in subjects:
        rows.setdefault(subject.id, set()).add(subject.row)
    texts = [id.encode() for id in rows if len(id) >= _LEAST_CHARACTERS]
    names = {name for id, wanted in rows.items() for row in wanted for name in _names(id, row)}
    with Scan(engine, f"/{DEAD_LETTER_INDEX}", {"match_all": {}}, page=_PAGE) as scan:
        for hits in scan.pages():
            for hit in hits:
                if _is_of(hit.source, rows, names, key_ids, texts):
                    yield hit


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


def _names(id: str, row: int | None) -> list[str]:
    return [document_id(id)] if row is None else [item_id(id, row)]


def _is_of(
    letter: Mapping[str, Any],
    rows: Mapping[str, set[int | None]],
    names: set[str],
    key_ids: frozenset[str],
    texts: Sequence[bytes],
) -> bool:
    id, document = str(letter.get("id", "")), _document(letter)
    if str(letter.get("index", "")).startswith(INDEX):
        return _is_record_of(document, rows, texts, str(letter.get("document", "")))
    if id in names or id in key_ids:
        return True
    target = target_of(document)
    if target is not None:
        return target.id in rows
    about = subject_of(Hit("", id, document, None))
    # Any letter of a batch may have the whole body, so that of another row goes with the erased one.
    return about.id in rows


def _document(letter: Mapping[str, Any]) -> dict[str, Any]:
    try:
        document = loads(letter["document"])
    except (KeyError, TypeError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _is_record_of(
    record: Mapping[str, Any], rows: Mapping[str, set[int | None]], texts: Sequence[bytes], raw: str
) -> bool:
    headers = record.get("headers")
    pairs = [pair for pair in headers if isinstance(pair, list)] if isinstance(headers, list) else []
    if any(isinstance(value, str) and value in rows for pair in pairs for value in pair[1:]):
        return True
    held = b"\0".join((*(_decoded(record.get(name)) for name in ("value_base64", "key_base64")), raw.encode()))
    return any(text in held for text in texts)


def _decoded(text: Any) -> bytes:
    try:
        return b64decode(text) if isinstance(text, str) else b""
    except ValueError:
        return b""
