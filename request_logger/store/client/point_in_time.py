"""Points in time: several searches see the documents as they were when it was opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from request_logger.store.changes import Document, StoreUnavailableError
from request_logger.store.ports import EngineReader

# How long the search engine keeps it between two searches.
KEEP_ALIVE = "10m"
# Paths that open and close one: OpenSearch's first, since its client logs a warning for each refusal.
_OPENERS = (("/_search/point_in_time", "pit_id"), ("/_pit", "id"))


@dataclass(frozen=True, slots=True)
class PointInTime:
    """An open point in time; a search with `body` in its own, and without indices, sees its documents."""

    engine: EngineReader
    path: str
    key: str
    name: str

    @property
    def body(self) -> Document:
        """The part of a search's body that names it."""
        return {"pit": {"id": self.name, "keep_alive": KEEP_ALIVE}}

    def close(self) -> None:
        """Free it in the search engine; otherwise it expires."""
        forget(self.engine, self.path, {self.key: self.name if self.key == "id" else [self.name]})


def forget(engine: EngineReader, path: str, body: Document) -> None:
    """Free what the search engine keeps between searches; otherwise it expires."""
    try:
        engine.request("DELETE", path, body)
    except StoreUnavailableError:
        return


def opened(engine: EngineReader, indices_path: str) -> Iterator[PointInTime]:
    """Yield the points in time that the search engine can open over indices (``/name,glob-*``): one, or none.

    The caller closes them. Raises StoreUnavailableError if there is no answer.
    """
    for path, key in _OPENERS:
        params = {"keep_alive": KEEP_ALIVE, "ignore_unavailable": "true"}
        status, answer = engine.request("POST", indices_path + path, params=params)
        if status == 200 and isinstance(answer, dict) and key in answer:
            yield PointInTime(engine, path, key, str(answer[key]))
