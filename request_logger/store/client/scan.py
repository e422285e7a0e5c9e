"""Reads all documents that match a query, page by page, in the order of their time, unaffected by concurrent writes.

Uses a point in time if the search engine supports one with a definite order (Elasticsearch from 7.12, OpenSearch from
3.3), else a scroll; the answer to a request decides, not the version. Both show the documents as they were when opened.
Slices are independent: each can be read by its own thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote

from request_logger.store.changes import Document, StoreUnavailableError
from request_logger.store.client.point_in_time import KEEP_ALIVE, PointInTime, forget, opened
from request_logger.store.errors import is_partial, reason_of
from request_logger.store.excluded_indices import LENIENT, MAX_PATH_CHARACTERS, ExcludedIndices
from request_logger.store.ports import EngineReader
from request_logger.store.search_answers import check_documents, check_hits

_TIME_ORDER = {"@timestamp": {"order": "asc", "unmapped_type": "date"}}
# The order of a scroll. For documents of equal times OpenSearch depends on the order in which it visits segments, but
# continues after the number of the last document: without _doc, documents of equal times in other segments would be
# skipped.
SCROLL_ORDER = (_TIME_ORDER, "_doc")
# Each round excludes all indices that have failed so far.
_MAX_ROUNDS = 10


class ScanError(Exception):
    """The search engine refuses the search; the text is the reason, in one line."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One document. ``time`` is its ``@timestamp`` (ms since 1970), None if it has none."""

    index: str
    id: str
    source: Document
    time: int | None


class Scan:
    """A context manager that yields the pages of each of its slices.

    ``path`` names the indices (``/inference-log-*``), ``source`` is the ``_source`` filter of the search. Indices that
    can't be read are excluded from the start; `left_out` names them. Raises ScanError if the search is refused,
    StoreUnavailableError if there is no readable answer, or the context of a slice has expired.
    """

    def __init__(
        self, engine: EngineReader, path: str, query: Document, *, source: Any = True, page: int = 200, slices: int = 1
    ) -> None:
        self._engine = engine
        self._indices = unquote(path.removeprefix("/"))
        self._path = path
        self.left_out = ExcludedIndices(engine)
        self._search = {"size": page, "query": query, "_source": source, "track_total_hits": False}
        self._slices = slices
        self._pit: PointInTime | None = None

    @property
    def point_in_time(self) -> bool:
        """Whether a point in time is used, not a scroll."""
        return self._pit is not None

    def __enter__(self) -> Self:
        self._find_readable()
        self._pit = self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pit is not None:
            self._pit.close()

    def pages(self, number: int = 0) -> Iterator[list[Hit]]:
        """Yield the pages of one of the ``slices``, the oldest documents first."""
        if self._pit is not None:
            yield from self._read(self._pit, number)
        else:
            yield from self._scroll(number)

    def _find_readable(self) -> None:
        """Search for one document, and exclude each index that can't answer: later, it would make a page incomplete."""
        self.left_out.note_closed(self._indices)
        body = {**self._search, "size": 1, "sort": [_TIME_ORDER], "_source": False}
        for _ in range(_MAX_ROUNDS):
            self._path = f"/{quote(self.left_out.narrowed(self._indices), safe='*,')}"
            if len(self._path) > MAX_PATH_CHARACTERS:
                raise ScanError(f"{len(self.left_out.reasons)} indices can't be read: name those that can")
            status, answer = self._engine.request("POST", f"{self._path}/_search", body, params=LENIENT)
            try:
                check_hits(_complete(status, answer))
            except (ScanError, StoreUnavailableError):
                if not self.left_out.learn(self._indices, status, answer):
                    raise
            else:
                return
        raise StoreUnavailableError("too many indices can't be read")

    def _open(self) -> PointInTime | None:
        for pit in opened(self._engine, self._path):
            # Older versions can open a point in time, but don't support _shard_doc, which makes the order definite.
            status, _ = self._engine.request("POST", "/_search", {**self._of_pit(pit), "size": 0})
            if status == 200:
                return pit
            pit.close()
        return None

    def _of_pit(self, pit: PointInTime) -> Document:
        return {**self._search, **pit.body, "sort": [_TIME_ORDER, "_shard_doc"]}

    def _slice(self, number: int) -> Document:
        return {"slice": {"id": number, "max": self._slices}} if self._slices > 1 else {}

    def _read(self, pit: PointInTime, number: int) -> Iterator[list[Hit]]:
        after: Sequence[Any] | None = None
        while True:
            more = {"search_after": after} if after else {}
            hits = self._hits("/_search", {**self._of_pit(pit), **self._slice(number), **more})["hits"]["hits"]
            if not hits:
                return
            yield [_hit(hit) for hit in hits]
            before, after = after, hits[-1]["sort"]
            if after == before:
                raise StoreUnavailableError(
                    "the engine's answer to a search can't be used: a page is followed by itself"
                )

    def _scroll(self, number: int) -> Iterator[list[Hit]]:
        first = {**self._search, **self._slice(number), "sort": SCROLL_ORDER}
        # A scroll always counts its hits, and refuses this option.
        del first["track_total_hits"]
        answer = self._hits(f"{self._path}/_search", first, {"scroll": KEEP_ALIVE, **LENIENT})
        # Without an index there is no scroll either.
        name = answer.get("_scroll_id")
        try:
            while answer["hits"]["hits"]:
                yield [_hit(hit) for hit in answer["hits"]["hits"]]
                answer = self._hits("/_search/scroll", {"scroll": KEEP_ALIVE, "scroll_id": name})
                name = answer.get("_scroll_id", name)
        finally:
            if name:
                forget(self._engine, "/_search/scroll", {"scroll_id": name})

    def _hits(self, path: str, body: Document, params: Mapping[str, str] | None = None) -> Any:
        status, answer = self._engine.request("POST", path, body, params=params)
        return check_documents(_complete(status, answer))


def _complete(status: int, answer: Any) -> Any:
    if status in (404, 429) or status >= 500:
        raise StoreUnavailableError(f"the engine answered {status} to a search: {reason_of(answer)}")
    if status >= 400:
        raise ScanError(f"the engine answered {status} to a search: {reason_of(answer)}")
    if isinstance(answer, dict) and is_partial(answer):
        raise StoreUnavailableError(f"the engine left documents out: {reason_of(answer)}")
    return answer


def _hit(hit: Mapping[str, Any]) -> Hit:
    time = hit["sort"][0]
    # Documents without a time are sorted last, with the greatest 64-bit number as their sort value.
    known = time if isinstance(time, int) and abs(time) < 2**62 else None
    return Hit(hit["_index"], hit["_id"], hit.get("_source") or {}, known)
