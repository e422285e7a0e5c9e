"""What is to be erased: predictions, or single rows of batches, and the documents that these have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from request_logger.common.chunks import chunks
from request_logger.common.names import document_id, item_id, row_named
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import Hit, Scan

Query = dict[str, Any]

# Documents per read: each may have a payload of MAX_PAYLOAD_BYTES.
_PAGE = 20
# A search has a clause per id, and search engines allow 65,536 of them.
_AT_ONCE = 50
# Rows that are looked for by their ids, too: those of another program, and of ids that its mapping doesn't index.
_ROWS = 128


@dataclass(frozen=True, slots=True)
class Subject:
    """A prediction by its request id; ``row`` is that of a batch's row, None for all that the id has."""

    id: str
    row: int | None = None


def subject_of(hit: Hit) -> Subject:
    """Return the prediction, or the row of a batch, that a document is about."""
    named, id = row_named(hit.id), hit.source.get("RequestId")
    if named is not None and (not isinstance(id, str) or id != hit.id):
        return Subject(id if isinstance(id, str) else named[0], named[1])
    return Subject(id if isinstance(id, str) else hit.id)


def named_by(id: str) -> list[Subject]:
    """Return what a request id names: its prediction, and the row of a batch that has this id."""
    named = row_named(id)
    return [Subject(id), *([] if named is None else [Subject(*named)])]


def documents_of(
    engine: SearchEngine, pattern: str, subjects: Sequence[Subject], left_out: dict[str, str], source: Any = True
) -> Iterator[tuple[Hit, Subject]]:
    """Yield the documents of some subjects in the indices of ``pattern``, each with one of the subjects.

    Indices that can't be read are added to ``left_out`` with the reason. Raises ScanError and StoreUnavailableError.
    """
    for some in chunks(subjects, _AT_ONCE):
        by_id: dict[str, list[Subject]] = {}
        for subject in some:
            by_id.setdefault(subject.id, []).append(subject)
        first, ids = 0, list(by_id)
        while ids:
            last: set[str] = set()
            for hit in found(engine, pattern, _query(ids, first), left_out, source):
                about = subject_of(hit)
                # A mapping may find more than the id itself.
                if about.id in by_id:
                    if about.row == first + _ROWS - 1:
                        last.add(about.id)
                    yield hit, _of(about, by_id[about.id])
            # Of a larger batch there are more.
            first, ids = first + _ROWS, sorted(last)


def _of(about: Subject, subjects: Sequence[Subject]) -> Subject:
    """Return the subject for which a document was found: the whole prediction, or its own row, before any other."""
    return min(subjects, key=lambda subject: (subject.row is not None, subject.row != about.row))


def _query(ids: Sequence[str], first: int) -> Query:
    names = [item_id(id, row) for id in ids for row in range(first, first + _ROWS)]
    by_name: Query = {"ids": {"values": [*names, *({*ids, *map(document_id, ids)} if not first else ())]}}
    if first:
        return by_name
    return {"bool": {"should": [{"terms": {"RequestId.keyword": list(ids)}}, by_name], "minimum_should_match": 1}}


def matching(engine: SearchEngine, path: str, query: Query, left_out: dict[str, str]) -> Iterator[Subject]:
    """Yield what the documents that match a query are about. Raises ScanError and StoreUnavailableError."""
    with Scan(engine, path, query, source=["RequestId"], page=1000) as scan:
        _note(scan, left_out)
        for hits in scan.pages():
            yield from map(subject_of, hits)


def found(
    engine: SearchEngine, pattern: str, query: Query, left_out: dict[str, str], source: Any = True
) -> Iterator[Hit]:
    """Yield the documents that match a query; see `documents_of`."""
    with Scan(engine, f"/{quote(pattern, safe='*,')}", query, source=source, page=_PAGE) as scan:
        _note(scan, left_out)
        for hits in scan.pages():
            yield from hits


def _note(scan: Scan, left_out: dict[str, str]) -> None:
    left_out.update({each["index"]: each["reason"] for each in scan.left_out.as_json()})


def ids_of(subjects: Iterable[Subject]) -> list[str]:
    """Return the request ids of some subjects, each once."""
    return list(dict.fromkeys(subject.id for subject in subjects))
