"""`python -m bench.scaleout`: one, two and three loggers with one engine of three nodes, and the resulting documents.

Each logger is a separate `request-logger serve` with one worker. The engine is three OpenSearch processes, and each
index has a primary and a replica. The events of a prediction (request, response, feedback) are sent immediately after
each other to different loggers, so that the loggers' writes to one document conflict as often as possible. In the rows
named hot, all events go to ten documents: each part is delivered repeatedly with newer times, and the newest must
remain.

After each row the engine is checked: the expected number of documents, each with request, response and feedback as
sent and with its metrics, and an accuracy and log loss equal to scikit-learn's over the same pairs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import requests
from prometheus_client.parser import text_string_to_metric_families
from sklearn.metrics import accuracy_score, log_loss

from bench import load
from bench.engines import Client
from bench.faults.counting import plain
from bench.faults.traffic import headers
from bench.first import CLASSES, PARTS, bodies, index_of
from bench.measure import Measured, engine_processes, measure
from request_logger.demo.local_server import LocalServer
from request_logger.embedded_engine import start_cluster

LOGGERS = 3
NODES = 3
HOT_DOCUMENTS = 10
TOLERANCE = 1e-9
_FIELDS = {"accuracy": "correct", "log loss": "log_loss"}
_KINDS = {"spread": "each its document", "hot": f"{HOT_DOCUMENTS} documents"}
_HEADINGS = ("loggers", "events to", "events", "events/s", "p50 ms", "p99 ms", "conflicts", "conflicts per event",
             "logger CPU ms per event", "engine CPU ms per event", "documents", "whole", "as scikit-learn")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """A row's documents in the engine; ``problems`` are the differences from the expected ones."""

    documents: int
    whole: int
    equal: bool
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    loggers: int
    kind: str
    measured: Measured
    conflicts: float
    found: Found


def main(given: Sequence[str] | None = None) -> int:
    """Measure, check and print; status 1 if a document is missing, superfluous, incomplete or wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaleout", description="Several loggers with one engine.")
    parser.add_argument("--predictions", type=int, default=1500, help="predictions per row (default: 1500)")
    parser.add_argument("--hot", type=int, default=500, help="predictions per hot row (default: 500)")
    parser.add_argument("--nodes", type=int, default=NODES, help=f"nodes of the engine (default: {NODES})")
    parser.add_argument("--loggers", type=int, default=LOGGERS, help=f"maximum number of loggers (default: {LOGGERS})")
    parser.add_argument("--connections", type=int, default=16, help="concurrent connections (default: 16)")
    parser.add_argument("--markdown", action="store_true", help="print the table as docs/scaling.md has it")
    arguments = parser.parse_args(given)
    counts = {"spread": arguments.predictions, "hot": arguments.hot}
    with ExitStack() as stack:
        nodes = stack.enter_context(start_cluster(arguments.nodes, progress=_tell))
        addresses = ",".join(node.url for node in nodes)
        loggers: list[LocalServer] = []
        rows: list[Row] = []
        for number in range(1, arguments.loggers + 1):
            _tell(f"{number} logger(s) ...")
            settings = {"ELASTICSEARCH_HOST": addresses, "GUNICORN_WORKERS": "1"}
            loggers.append(stack.enter_context(LocalServer(settings)))
            # Warm up: the first rows would include the engine's compilation, each row its new logger's first index.
            run(nodes[0].url, loggers, "spread", 2000 if number == 1 else 300, arguments.connections)
            for kind, count in counts.items():
                rows.append(run(nodes[0].url, loggers, kind, count, arguments.connections))
    _print(rows, markdown=arguments.markdown)
    problems = [f"{row.loggers} loggers, {row.kind}: {problem}" for row in rows for problem in row.found.problems]
    for problem in problems:
        print(f"FAILED: {problem}")
    return int(bool(problems))


def run(engine: str, loggers: Sequence[Any], kind: str, predictions: int, connections: int) -> Row:
    """Send one row's events to loggers (objects with ``url`` and ``pid``), then check the engine."""
    deployment = f"s{uuid.uuid4().hex[:8]}"
    client = Client(engine)
    client.ask("PUT", f"/{index_of(deployment)}")
    client.ask("GET", f"/_cluster/health/{index_of(deployment)}?wait_for_no_initializing_shards=true&timeout=60s")
    urls = [logger.url for logger in loggers]
    events = make_events(kind, predictions, deployment, urls)
    before = conflicts(urls)
    measured = measure(urls, events, [logger.pid for logger in loggers], engine_processes(), connections=connections)
    met = conflicts(urls) - before
    found = check(client, index_of(deployment), expected(kind, predictions, deployment))
    if measured.failed:
        found = replace(found, problems=(*found.problems, f"{measured.failed} events were not acknowledged"))
    client.drop(index_of(deployment))
    return Row(len(loggers), kind, measured, met, found)


def document_number(kind: str, number: int) -> int:
    """Return the number of the document for a prediction's events."""
    return number % HOT_DOCUMENTS if kind == "hot" else number


def make_events(kind: str, predictions: int, deployment: str, urls: Sequence[str]) -> list[load.Request]:
    """Return the events in the order of the predictions; consecutive events go to different loggers."""
    events = []
    for number in range(predictions):
        for step, (part, body) in enumerate(bodies(number).items()):
            to = (number + step) % len(urls)
            attributes = headers(deployment, (document_number(kind, number), part))
            # Later predictions have later times, so that the newest of a document's many is known.
            moment = f"{time.strftime('%H:%M:%S', time.gmtime(number // 1000))}.{number % 1000:03}"
            attributes |= {"Ce-Id": f"{deployment}-{number}-{part}", "Ce-Time": f"2026-01-02T{moment}Z"}
            raw = load.post(urls[to], attributes, json.dumps(body).encode())
            events.append(load.Request((number, part), raw, to))
    return events


def expected(kind: str, predictions: int, deployment: str) -> dict[str, int]:
    """Return the expected document ids, with the prediction whose events each must have."""
    return {f"{deployment}-{document_number(kind, number)}": number for number in range(predictions)}


def conflicts(urls: Sequence[str]) -> float:
    """Return the number of writes that conflicted with another writer, in all loggers together."""
    return sum(
        sample.value
        for url in urls
        for family in text_string_to_metric_families(requests.get(f"{url}/metrics", timeout=30).text)
        for sample in family.samples
        if sample.name == "request_logger_store_total" and sample.labels.get("what") == "conflict"
    )


def check(engine: Client, index: str, wanted: Mapping[str, int]) -> Found:
    """Compare an index with the expected content: document id -> the prediction whose events it must have."""
    engine.ask("POST", f"/{index}/_refresh")
    scores, truth = _pairs(wanted.values())
    aggregations = {name: {"avg": {"field": f"metrics.{field}"}} for name, field in _FIELDS.items()}
    answer = engine.ask("POST", f"/{index}/_search", {"size": 10_000, "track_total_hits": True, "aggs": aggregations})
    count = answer["hits"]["total"]["value"]
    whole = sum(_is_whole(hit["_source"], wanted.get(hit["_id"])) for hit in answer["hits"]["hits"])
    ours = {name: answer["aggregations"][name]["value"] for name in _FIELDS}
    theirs = {
        "accuracy": accuracy_score(truth, scores.argmax(axis=1)),
        "log loss": log_loss(truth, scores, labels=range(len(CLASSES))),
    }
    problems = []
    if count != len(wanted):
        problems.append(f"{count} documents, expected {len(wanted)}")
    if whole != len(wanted):
        problems.append(f"{whole} documents are whole, expected {len(wanted)}")
    unequal = [name for name in _FIELDS if ours[name] is None or abs(ours[name] - theirs[name]) > TOLERANCE]
    problems += [f"{name}: the engine has {ours[name]}, scikit-learn {theirs[name]}" for name in unequal]
    return Found(count, whole, not unequal, tuple(problems))


def _pairs(numbers: Any) -> tuple[Any, list[int]]:
    """Return the scores (predictions x classes) and true classes of predictions."""
    messages = [bodies(number) for number in numbers]
    scores = np.array([message["response"]["data"]["ndarray"][0] for message in messages])
    return scores, [message["feedback"]["truth"]["data"]["ndarray"][0] for message in messages]


def _is_whole(document: dict[str, Any], number: int | None) -> bool:
    if number is None or "correct" not in document.get("metrics", {}):
        return False
    for part in PARTS:
        kept = document.get(part, {})
        kept = kept if part == "feedback" else kept.get("payload", {})
        if not plain(bodies(number)[part]).items() <= kept.items():
            return False
    return True


def _print(rows: Sequence[Row], *, markdown: bool) -> None:
    lines: list[Sequence[str]] = [_HEADINGS]
    for row in rows:
        of = row.measured
        lines.append(
            (
                f"{row.loggers}",
                _KINDS[row.kind],
                f"{of.events:,}",
                f"{of.rate:,.0f}",
                f"{of.p50 * 1000:.0f}",
                f"{of.p99 * 1000:.0f}",
                f"{row.conflicts:,.0f}",
                f"{row.conflicts / of.events:.2f}",
                f"{of.logger_cpu / of.events * 1000:.2f}",
                f"{of.engine_cpu / of.events * 1000:.2f}",
                f"{row.found.documents:,}",
                f"{row.found.whole:,}",
                "yes" if row.found.equal else "no",
            )
        )
    if markdown:
        lines.insert(1, ("---:", "---", *("---:",) * (len(_HEADINGS) - 3), "---"))
        print("\n".join(f"| {' | '.join(line)} |" for line in lines))
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
