"""`python -m bench.writes`: the engine's cost of three ways of writing without scripts.

The engine alone, one sender, bulks of 50. Each of 6,000 documents gets its request and then its response:

blind      a partial update with `doc` and `upsert`; its response has the merged document (for the scorer).
read       an update with an empty `doc` and the whole document as `upsert`: it creates the document, or reads it; a
           conditional `index` of the merged document follows if the document existed.
known      the same, but the version is known from the previous write: one conditional `index`.

The store uses `read` for an unknown document and `known` for one that it wrote recently. The three take turns, the
medians are printed, and each run is checked: both parts must be in every document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.engines import Client, engine_url

Action = tuple[dict[str, Any], dict[str, Any]]
BULK = 50
INDEX = "bench-writes"
_HEADER = {
    "ServingEngine": "seldon",
    "Ce-Namespace": "bench",
    "Ce-Inferenceservicename": "iris",
    "Ce-Endpoint": "default",
    "@timestamp": "2026-01-02T03:04:05.100Z",
}
_PART = {
    "instance": [5.1, 3.5, 1.4, 0.2],
    "elements": {"sepal_length": 5.1, "sepal_width": 3.5},
    "dataType": "tabular",
    "payload": {"data": {"ndarray": [[5.1, 3.5, 1.4, 0.2]]}},
    "ce-time": "2026-01-02T03:04:05.100Z",
    "ce-source": "http:127.0.0.1:8000",
}
_STORED = {"type": "object", "enabled": False}
_MAPPING = {
    "properties": {name: {"properties": {"payload": _STORED, "instance": _STORED}} for name in ("request", "response")}
}


def main() -> int:
    """Measure, check and print. Raises RuntimeError if a document is incomplete."""
    parser = argparse.ArgumentParser(prog="python -m bench.writes", description="Three ways of writing.")
    parser.add_argument("--documents", type=int, default=6000, help="number of documents (default: 6000)")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds (default: 3)")
    arguments = parser.parse_args()
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    with engine_url() as url:
        engine = Client(url)
        for round_number in range(arguments.rounds + 1):
            for way in WAYS:
                # The first round warms up the engine and doesn't count.
                rate = measure(engine, way, arguments.documents if round_number else arguments.documents // 3)
                if round_number:
                    rates[way].append(rate)
    print(f"{'way':8}{'events/s (median)':>20}   all runs")
    for way, values in rates.items():
        print(f"{way:8}{statistics.median(values):>20.0f}   {', '.join(f'{value:.0f}' for value in values)}")
    return 0


def measure(engine: Client, way: str, documents: int) -> float:
    """Write and check all documents; return events per second, two per document. Raises RuntimeError."""
    index = f"{INDEX}-{way}"
    engine.drop(index)
    engine.ask("PUT", f"/{index}", {"mappings": _MAPPING})
    started = time.perf_counter()
    for first in range(0, documents, BULK):
        WAYS[way](engine, index, [uuid.uuid4().hex for _ in range(first, min(first + BULK, documents))])
    seconds = time.perf_counter() - started
    engine.ask("POST", f"/{index}/_refresh")
    both = {"bool": {"filter": [{"exists": {"field": f"{part}.ce-time"}} for part in ("request", "response")]}}
    whole = engine.ask("POST", f"/{index}/_count", {"query": both})["count"]
    engine.drop(index)
    if whole != documents:
        raise RuntimeError(f"{way}: {whole} whole documents of {documents}")
    return 2 * documents / seconds


def blind(engine: Client, index: str, ids: Sequence[str]) -> None:
    """Let the engine merge."""
    for part in ("request", "response"):
        content = {**_HEADER, part: _PART}
        update = {"doc": content, "upsert": content, "_source": True}
        bulk(engine, [({"update": {"_index": index, "_id": id}}, update) for id in ids])


def read(engine: Client, index: str, ids: Sequence[str]) -> None:
    """Merge here, with the document in the engine's response."""
    create_or_read(engine, index, ids, "request")
    replace(engine, index, create_or_read(engine, index, ids, "response"))


def known(engine: Client, index: str, ids: Sequence[str]) -> None:
    """Merge here, with the document that was written before."""
    replace(engine, index, create_or_read(engine, index, ids, "request"))


def create_or_read(engine: Client, index: str, ids: Sequence[str], part: str) -> list[Any]:
    """Create the documents with one part, or read the existing ones."""
    update = {"doc": {}, "upsert": {**_HEADER, part: _PART}, "_source": True}
    return bulk(engine, [({"update": {"_index": index, "_id": id}}, update) for id in ids])


def replace(engine: Client, index: str, read_before: Sequence[Any]) -> None:
    """Write complete documents, provided that they have not changed since they were read."""
    document = {**_HEADER, "request": _PART, "response": _PART}
    bulk(engine, list(_conditional(index, document, read_before)))


def _conditional(index: str, document: dict[str, Any], read_before: Sequence[Any]) -> Iterator[Action]:
    for item in read_before:
        version = {"if_seq_no": item["_seq_no"], "if_primary_term": item["_primary_term"]}
        yield {"index": {"_index": index, "_id": item["_id"], **version}}, document


def bulk(engine: Client, actions: Sequence[Action]) -> list[Any]:
    """Send a `_bulk` and return the result of each action. Raises RuntimeError if one failed."""
    body = "".join(json.dumps(line) + "\n" for action in actions for line in action)
    answer = engine.ask("POST", "/_bulk", body.encode())
    if answer["errors"]:
        raise RuntimeError(f"a bulk failed: {json.dumps(answer['items'])[:300]}")
    return [next(iter(item.values())) for item in answer["items"]]


WAYS: dict[str, Callable[[Client, str, Sequence[str]], None]] = {"blind": blind, "read": read, "known": known}

if __name__ == "__main__":
    sys.exit(main())
