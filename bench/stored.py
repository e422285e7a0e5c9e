"""What the engine has stored for a benchmark: missing and duplicate events, bytes on disk, number of writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from bench.engines import Client
from bench.shapes import Shape, request_id
from request_logger.documents.document import expand

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Stored:
    """The result of the comparison with what was acknowledged; ``unscored`` documents should have metrics."""

    documents: int
    missing: int
    duplicates: int
    unscored: int

    @property
    def problems(self) -> list[str]:
        """One line per violated expectation."""
        found = {
            "acknowledged events are not in the engine": self.missing,
            "documents are duplicates or unexpected": self.duplicates,
            "documents have no metrics": self.unscored,
        }
        return [f"{number} {text}" for text, number in found.items() if number]


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes of an index: merged, and merged while the engine still keeps overwritten copies."""

    merged: int
    with_overwritten: int


def compare(
    engine: Client, shape: Shape, deployment: str, acknowledged: Collection[tuple[int, str]], sent: Collection[int] = ()
) -> Stored:
    """Compare the engine's documents with the acknowledged events: (number of a prediction, part).

    ``sent`` are the numbers of other predictions, whose documents may be stored, too.
    """
    index = shape.index(deployment)
    engine.ask("POST", f"/{index}/_refresh")
    found: dict[str, dict[str, Any]] = {}
    copies: Counter[str] = Counter()
    for source in _sources(engine, index):
        id, row = source.get("RequestId", ""), _row(source)
        copies[f"{id} {row}"] += 1
        found[f"{id} {row}"] = source
    missing = unscored = 0
    numbers = {*sent, *(number for number, _ in acknowledged)}
    expected = {f"{request_id(deployment, number)} {row}" for number in numbers for row in range(shape.rows)}
    bodies: dict[int, Any] = {}
    for number, part in acknowledged:
        if number not in bodies:
            bodies[number] = json.loads(json.dumps(shape.make(number)))
        missing += not all(
            _has(found.get(f"{request_id(deployment, number)} {row}", {}), part, bodies[number][part], row, shape.rows)
            for row in range(shape.rows)
        )
    for document in found.values():
        unscored += {"response", "feedback"} <= set(document) and not document.get("metrics")
    duplicates = sum(copies.values()) - sum(key in expected for key in copies)
    return Stored(sum(copies.values()), missing, duplicates, unscored)


def disk(engine: Client, index: str) -> Disk:
    """Return the size of an index in one segment: as it is now, and as it is when overwritten copies are dropped.

    The engine keeps overwritten copies for hours, for recoveries, so the second one is the size of a copy of the index.
    """
    copy = f"{index}-copy"
    engine.drop(copy)
    engine.ask("PUT", f"/{copy}")
    engine.ask("POST", f"/{index}/_refresh")
    engine.ask("POST", "/_reindex?refresh=true", {"source": {"index": index}, "dest": {"index": copy}})
    merged = _merged_size(engine, copy)
    engine.drop(copy)
    return Disk(merged, _merged_size(engine, index))


def writes(engine: Client, index: str) -> int:
    """Return the number of indexing operations of an index so far."""
    answer = engine.ask("GET", f"/{index}/_stats/indexing")
    return int(answer["_all"]["primaries"]["indexing"]["index_total"])


def _merged_size(engine: Client, index: str) -> int:
    # Not flushed: after a commit, the engine may drop overwritten copies at any time.
    engine.ask("POST", f"/{index}/_forcemerge?max_num_segments=1&flush=false")
    engine.ask("POST", f"/{index}/_refresh")
    # The size in the index's statistics is up to 10 s old.
    shards = engine.ask("GET", f"/{index}/_segments")["indices"][index]["shards"].values()
    primaries = [copy for copies in shards for copy in copies if copy["routing"]["primary"]]
    segments = [segment for copy in primaries for segment in copy["segments"].values()]
    return sum(segment["size_in_bytes"] for segment in segments if segment["search"])


def _sources(engine: Client, index: str) -> Iterator[dict[str, Any]]:
    page = engine.ask("POST", f"/{index}/_search?scroll=1m", {"size": _PAGE, "sort": ["_doc"]})
    while page["hits"]["hits"]:
        yield from ({**hit["_source"], "_id": hit["_id"]} for hit in page["hits"]["hits"])
        page = engine.ask("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})


def _row(source: dict[str, Any]) -> int:
    """Return a document's row in its batch: the number after the request id in its document id, 0 for a single row."""
    _, _, row = source["_id"].removeprefix(source.get("RequestId", "")).rpartition("-")
    return int(row) if row.isdigit() else 0


def _has(document: dict[str, Any], part: str, sent: dict[str, Any], row: int, rows: int) -> bool:
    kept = expand(document.get(part, {}))
    if not kept:
        return False
    if part == "feedback":
        return rows > 1 or sent.items() <= kept.items()
    if "payload" in kept:
        return sent.items() <= kept["payload"].items()
    # The body may be kept once per batch, or not at all (KEEP_PAYLOAD): then the row must be there.
    return "instance" in kept and (rows == 1 or "data" not in sent or kept["instance"] == sent["data"]["ndarray"][row])
