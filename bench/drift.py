"""`python -m bench.drift`: time and memory of `request-logger drift` over many documents with 100 fields.

Half of the documents are the reference, half are judged. 80 fields are numbers and 20 texts; every tenth field has
drifted. More than 50,000 documents a side are split into indices of that size: the first is cloned. Each command runs
in a separate process, as for a user. The command must find the fields that have drifted, and no others.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.child import run
from bench.engines import Client, engine_url
from bench.report import clone
from request_logger.analytics.drift.stored_baselines import INDEX
from request_logger.common.json import dumps
from request_logger.demo.local_server import engine_settings
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine

NUMBERS, TEXTS = 80, 20
DRIFTED_EACH = 10
MOST_FILLED = 50_000
BULK = 1000
PERIOD, FROM = "2026-01-01..2026-02-01", "2026-02-01"
_DATES = {"before": "2026-01-15T00:00:00Z", "now": "2026-02-15T00:00:00Z"}


def main() -> int:
    """Store documents, then measure, check and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.drift", description="Time and memory of drift.")
    parser.add_argument("--documents", type=int, default=100_000, help="number of documents (default: 100,000)")
    documents = parser.parse_args().documents
    side = documents // 2
    copies = -(-side // MOST_FILLED)
    if side < 1000 or side % copies:
        parser.error(f"--documents: expected at least 2,000, over {2 * MOST_FILLED:,} a multiple of it")
    deployment = f"bench-{uuid.uuid4().hex[:8]}"
    with engine_url() as url:
        client = Client(url)
        started = time.perf_counter()
        engine = SearchEngine(Settings.from_env(engine_settings(url)))
        names = []
        try:
            for month in _DATES:
                own = [f"inference-log-seldon-bench-{deployment}-{month}-{k}" for k in range(copies)]
                names += own
                fill(engine, own[0], deployment, month, side // copies)
                clone(client, own[0], own[1:])
            print(f"{documents:,} documents after {time.perf_counter() - started:.0f} s", flush=True)
            print(f"{'command':42}  {'seconds':>8}  {'MB':>6}")
            look = ["drift", deployment, "--against", PERIOD, "--from", FROM, "--json"]
            for name, arguments in (("drift, first look", look), ("drift, cells stored", look)):
                ran = run(url, arguments)
                check(json.loads(ran.output), side)
                print(f"{name:42}  {ran.seconds:8.1f}  {ran.memory:6.0f}", flush=True)
        finally:
            for name in names:
                client.ask("DELETE", f"/{name}")
            of_these = {"query": {"wildcard": {"target": f"*{deployment}"}}}
            client.ask("POST", f"/{INDEX}/_delete_by_query?refresh=true", of_these)
    return 0


def fill(engine: SearchEngine, index: str, deployment: str, month: str, count: int) -> None:
    """Store the documents of one month."""
    engine.prepare(index)
    generator = np.random.default_rng(len(month))
    for start in range(0, count, BULK):
        lines: list[bytes] = []
        for document in documents(generator, deployment, month, min(BULK, count - start)):
            lines += [dumps({"index": {"_index": index}}), dumps(document)]
        answer = engine.bulk(b"\n".join(lines) + b"\n")
        if answer["errors"]:
            raise RuntimeError("the engine refused documents")
    engine.request("POST", f"/{index}/_refresh")


def documents(generator: np.random.Generator, deployment: str, month: str, count: int) -> Iterator[dict[str, Any]]:
    """Yield predictions of one month, without feedback."""
    shift = 0.7 if month == "now" else 0.0
    numbers = generator.normal(0, 1, (count, NUMBERS)).round(4)
    numbers[:, ::DRIFTED_EACH] += shift
    texts = generator.integers(0, 20, (count, TEXTS))
    texts[:, ::DRIFTED_EACH] //= 2 if shift else 1
    for row, words in zip(numbers.tolist(), texts.tolist(), strict=True):
        elements: dict[str, Any] = {f"n{k:02}": value for k, value in enumerate(row)}
        elements |= {f"t{k:02}": f"value {value}" for k, value in enumerate(words)}
        date = _DATES[month]
        yield {
            "@timestamp": date,
            "Ce-Inferenceservicename": deployment,
            "request": {"ce-time": date, "dataType": "tabular", "elements": elements},
            "response": {"ce-time": date, "dataType": "tabular"},
        }


def check(report: dict[str, Any], side: int) -> None:
    """Raise RuntimeError unless the report has all documents, and exactly the fields that have drifted."""
    found = {each["name"].rpartition(".")[2] for each in report["fields"] if each["level"] != "none"}
    expected = {f"n{k:02}" for k in range(0, NUMBERS, DRIFTED_EACH)} | {
        f"t{k:02}" for k in range(0, TEXTS, DRIFTED_EACH)
    }
    if (report["documents"], report["reference"]["documents"], found) != (side, side, expected):
        raise RuntimeError(f"expected {side} documents a side and drift in {sorted(expected)}, found {sorted(found)}")


if __name__ == "__main__":
    sys.exit(main())
