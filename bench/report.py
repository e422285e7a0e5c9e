"""`python -m bench.report`: how long a report and a comparison take over many documents.

Scored predictions of ten classes go straight into the engine; then the report is made over all, by a field of 200
values and by one of numbers over time, and two models are compared. Accuracy and counts are checked against numpy's.
"""

from __future__ import annotations

import argparse
import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np

from bench.engines import engine_url
from request_logger.answers.compare import Question, compare
from request_logger.answers.report import Options, make_report
from request_logger.local_server import engine_settings
from request_logger.settings import Settings
from request_logger.store.client import SearchEngine
from scorers.base import Row
from scorers.multiclass import Multiclass

CLASSES = tuple(f"class {k}" for k in range(10))
BULK = 2000
START = datetime(2026, 1, 5, tzinfo=UTC)


def main() -> int:
    """Fill, measure, check and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description="How long a report takes.")
    parser.add_argument("--documents", type=int, default=100_000, help="default: 100,000")
    documents = parser.parse_args().documents
    deployment = f"bench-{uuid.uuid4().hex[:8]}"
    index = f"inference-log-seldon-bench-{deployment}-default"
    with engine_url() as url:
        settings = Settings.from_env(engine_settings(url))
        engine = SearchEngine(settings)
        try:
            accuracy = fill(engine, index, deployment, documents)
            for options in (
                Options(deployment),
                Options(deployment, by="area"),
                Options(deployment, by="age", window="6h"),
            ):
                seconds, found = timed(partial(make_report, engine, settings, options))
                check(found["tasks"][0], documents, accuracy)
                print(f"report, by {options.by or 'nothing'}: {seconds:.2f} s over {documents:,} documents")
            seconds, found = timed(lambda: compare(engine, settings, Question("a", "b", deployment)))
            if found["a"]["documents"] + found["b"]["documents"] != documents:
                raise RuntimeError("the comparison lacks documents")
            print(f"comparison of two models: {seconds:.2f} s")
        finally:
            engine.request("DELETE", f"/{index}")
    return 0


def timed(what: Callable[[], dict[str, Any]]) -> tuple[float, dict[str, Any]]:
    """Give the seconds that it takes, and its answer."""
    started = time.perf_counter()
    found = what()
    return time.perf_counter() - started, found


def check(task: dict[str, Any], documents: int, accuracy: float) -> None:
    """Raise RuntimeError where the report is not about all documents, or wrong."""
    found = next(each["value"] for each in task["metrics"] if each["name"] == "accuracy")
    if task["documents"] != documents or abs(found - accuracy) > 1e-9:
        raise RuntimeError(f"{task['documents']} documents of accuracy {found}, expected {documents} of {accuracy}")


def fill(engine: SearchEngine, index: str, deployment: str, documents: int) -> float:
    """Store scored documents, give their accuracy."""
    generator, scorer = np.random.default_rng(0), Multiclass()
    rows = generator.dirichlet(np.ones(len(CLASSES)), documents).round(4)
    truths = generator.integers(0, len(CLASSES), documents)
    engine.prepare(index)
    for first in range(0, documents, BULK):
        lines = []
        for k in range(first, min(first + BULK, documents)):
            at = START + timedelta(minutes=k / 3)
            fields = scorer.score(Row(CLASSES[truths[k]]), Row(rows[k].tolist(), CLASSES))
            content = {
                "@timestamp": at.isoformat(),
                "RequestId": str(k),
                "Ce-Inferenceservicename": deployment,
                "Ce-Modelid": "ab"[k % 2],
                "request": {"dataType": "tabular", "elements": {"age": k % 90, "area": f"area {k % 200}"}},
                "response": {"dataType": "tabular"},
                "feedback": {"ce-time": (at + timedelta(minutes=float(generator.exponential(60)))).isoformat()},
                "metrics": {"scorer": "multiclass", "basis": "truth", **fields},
            }
            lines += [json.dumps({"index": {"_index": index, "_id": str(k)}}), json.dumps(content)]
        if engine.bulk(("\n".join(lines) + "\n").encode())["errors"]:
            raise RuntimeError("the engine refused documents")
    engine.request("POST", f"/{index}/_refresh")
    return float((rows.argmax(axis=1) == truths).mean())


if __name__ == "__main__":
    raise SystemExit(main())
