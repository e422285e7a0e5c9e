"""`python -m bench.join_keys`: 10,000 feedbacks by a key that only the response has, through two loggers (JOIN_KEYS).

A third of the feedback arrives before its prediction, a third between request and response, at the same time as the
responses, and a third afterwards. It is wrong, sent through both loggers at once, and then corrected through both, with
the wrong one once more. Requests go to one logger, responses to the other. Then the engine is asked: each prediction is
one document with its request, response and corrected feedback, and its metrics; each key has one small document, which
names the prediction, and no feedback is left in any of these. Before that, the feedback of a tenth as many other
predictions arrives at the end: for them the engine must count one write per key.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import requests

from bench.engines import Client, engine_url
from request_logger.common.join_keys import KEYS_INDEX
from request_logger.demo.local_server import LocalServer, engine_settings

KEY = "response.payload.meta.puid"
SETTINGS = {"JOIN_KEYS": KEY}
# In slices, as traffic arrives: the phases of one overlap with those of another.
SLICES = 8
_MOST_TRIES = 20
_BATCH = "application/cloudevents-batch+json"
_NDJSON = "application/x-ndjson"
_PAGE = 10_000


@dataclass(slots=True)
class Result:
    """What was sent and what the engine holds. ``told`` counts what the answers said of the predictions."""

    predictions: int
    seconds: float = 0.0
    told: Counter[str] = field(default_factory=Counter)
    documents: int = 0
    whole: int = 0
    correct: int = 0
    keys: int = 0
    named: int = 0
    waiting: int = 0
    late_predictions: int = 0
    late_key_writes: int = 0
    lock: Lock = field(default_factory=Lock)

    @property
    def expected(self) -> dict[str, int]:
        """What the engine must hold."""
        every = dict.fromkeys(("documents", "whole", "keys", "named"), self.predictions)
        correct = sum(map(truth_of, range(self.predictions)))
        return {**every, "correct": correct, "waiting": 0, "late_key_writes": self.late_predictions}

    @property
    def problems(self) -> list[str]:
        """What differs from that."""
        found = {name: getattr(self, name) for name in self.expected}
        return [
            f"{name}: {found[name]}, expected {each}" for name, each in self.expected.items() if found[name] != each
        ]


def truth_of(number: int) -> int:
    """Return the true class of a prediction; the predicted one is 1."""
    return int(number % 3 != 0)


def main(given: Sequence[str] | None = None) -> int:
    """Send, check and print; status 1 if something differs."""
    parser = argparse.ArgumentParser(prog="python -m bench.join_keys", description="Feedback by a join key.")
    parser.add_argument("--predictions", type=int, default=10_000, help="number of predictions (default: 10,000)")
    arguments = parser.parse_args(given)
    with ExitStack() as stack:
        engine = stack.enter_context(engine_url())
        settings = {**engine_settings(engine), **SETTINGS, "GUNICORN_WORKERS": "1"}
        loggers = [stack.enter_context(LocalServer(settings)) for _ in range(2)]
        result = run(Client(engine), [logger.url for logger in loggers], arguments.predictions)
    for name in ("predictions", *result.expected):
        print(f"{name.replace('_', ' '):20}{getattr(result, name):>8,}")
    print(f"{'told':20}{', '.join(f'{what} {count:,}' for what, count in sorted(result.told.items()))}")
    print(f"{'seconds':20}{result.seconds:>8.1f}")
    for problem in result.problems:
        print(f"FAILED: {problem}")
    return int(bool(result.problems))


def run(engine: Client, urls: Sequence[str], predictions: int, index_suffix: str = "") -> Result:
    """Send the traffic to two loggers, and return what the engine holds. ``index_suffix`` matches indices of months."""
    deployment = f"k{uuid.uuid4().hex[:8]}"
    result = Result(predictions)
    _count_writes(engine, urls, result, index_suffix)
    started = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda first: _send(deployment, urls, range(first, predictions, SLICES), result),
                range(min(SLICES, predictions)),
            )
        )
    result.seconds = time.perf_counter() - started
    _check(engine, deployment, result, index_suffix)
    return result


def _count_writes(engine: Client, urls: Sequence[str], result: Result, index_suffix: str) -> None:
    """Send some predictions, and their feedback afterwards; count the writes to the documents of their keys."""
    deployment = f"k{uuid.uuid4().hex[:8]}"
    numbers = range(max(result.predictions // 10, 1))
    one, other = urls
    # The first event creates the index.
    _events(one, deployment, "response", [len(numbers)])
    before = _key_writes(engine, index_suffix)
    _events(one, deployment, "request", numbers)
    _events(other, deployment, "response", numbers)
    _feedback(one, deployment, numbers, "2026-02-03T00:00:00Z", Result(0))
    result.late_predictions = len(numbers)
    result.late_key_writes = _key_writes(engine, index_suffix) - before


def _key_writes(engine: Client, index_suffix: str) -> int:
    stats = engine.ask("GET", f"/{KEYS_INDEX}{index_suffix}/_stats/indexing")
    return int(stats["_all"]["primaries"]["indexing"]["index_total"])


def _send(deployment: str, urls: Sequence[str], numbers: Sequence[int], result: Result) -> None:
    """Send the events of some predictions."""
    before, between, after = numbers[::3], numbers[1::3], numbers[2::3]
    one, other = urls
    # A prediction's own day, and later ones for the feedback.
    wrong, right = "2026-01-02T00:00:00Z", "2026-02-03T00:00:00Z"

    def feedback(url: str, of: Sequence[int], time: str) -> Callable[[], Any]:
        return lambda: _feedback(url, deployment, of, time, result)

    with ThreadPoolExecutor(3) as pool:
        phases: list[list[Callable[[], Any]]] = [
            [feedback(one, before, wrong), feedback(other, before, wrong)],
            [lambda: _events(one, deployment, "request", numbers)],
            [
                feedback(one, between, wrong),
                feedback(other, between, wrong),
                lambda: _events(other, deployment, "response", numbers),
            ],
            [feedback(one, after, wrong), feedback(other, after, wrong)],
            [feedback(one, numbers, right), feedback(other, numbers, right), feedback(one, numbers, wrong)],
        ]
        for phase in phases:
            for each in [pool.submit(do) for do in phase]:
                each.result()


def _events(url: str, deployment: str, part: str, numbers: Sequence[int]) -> None:
    events = []
    for number in numbers:
        scores = {"data": {"names": ["no", "yes"], "ndarray": [[0.2, 0.8]]}, "meta": {"puid": _key(deployment, number)}}
        events.append(
            {
                "specversion": "1.0",
                "id": f"{deployment}-{number}",
                "type": f"io.seldon.serving.inference.{part}",
                "source": "bench",
                "time": f"2026-01-01T00:00:0{int(part == 'response')}Z",
                "inferenceservicename": deployment,
                "namespace": "bench",
                "endpoint": "default",
                "datacontenttype": "application/json",
                "data": {"data": {"names": ["a"], "ndarray": [[number]]}} if part == "request" else scores,
            }
        )
    _post(url, json.dumps(events), _BATCH)


def _feedback(url: str, deployment: str, numbers: Sequence[int], time: str, result: Result) -> None:
    is_right = time.startswith("2026-02")
    lines = []
    for number in numbers:
        truth = truth_of(number) if is_right else 1 - truth_of(number)
        lines.append(json.dumps({"key": {"puid": _key(deployment, number)}, "truth": truth, "time": time}))
    names = f"deployment={deployment}&namespace=bench&predictor=default"
    answer = _post(f"{url}/v1/feedback?{names}", "\n".join(lines), _NDJSON)
    with result.lock:
        result.told.update(each.get("prediction", "unknown") for each in answer["results"])


def _key(deployment: str, number: int) -> str:
    return f"{deployment}-key-{number}"


def _post(url: str, body: str, kind: str) -> Any:
    """Send a body until it is stored as a whole: sending all of it again is safe. Raises RuntimeError."""
    for _ in range(_MOST_TRIES):
        answer = requests.post(url, body.encode(), headers={"Content-Type": kind}, timeout=120)
        if answer.status_code == 200:
            return answer.json() if answer.content else None
        if answer.status_code != 503:
            break
        time.sleep(0.5)
    raise RuntimeError(f"answered {answer.status_code}: {answer.text[:300]}")


def _check(engine: Client, deployment: str, result: Result, index_suffix: str) -> None:
    index = f"inference-log-seldon-bench-{deployment}-default{index_suffix}"
    whole = {"bool": {"filter": [{"exists": {"field": f"{part}.ce-time"}} for part in ("request", "response")]}}
    whole["bool"]["filter"].append({"term": {"feedback.ce-time": "2026-02-03T00:00:00Z"}})
    engine.ask("POST", f"/{index}/_refresh")
    result.documents = _count(engine, index, {"match_all": {}})
    result.whole = _count(engine, index, whole)
    result.correct = _count(engine, index, {"term": {"metrics.correct": 1}})
    keys = f"{KEYS_INDEX}{index_suffix}"
    engine.ask("POST", f"/{keys}/_refresh")
    query = {"prefix": {"index": f"inference-log-seldon-bench-{deployment}-"}}
    for source in _sources(engine, keys, query):
        result.keys += 1
        result.named += source.get("claimed_by", {}).get("id", "").startswith(f"{deployment}-")
        result.waiting += "feedback" in source


def _count(engine: Client, index: str, query: Any) -> int:
    return int(engine.ask("POST", f"/{index}/_count", {"query": query})["count"])


def _sources(engine: Client, index: str, query: Any) -> Iterator[dict[str, Any]]:
    """Yield the documents that match a query, a page at a time."""
    body = {"size": _PAGE, "query": query, "sort": ["_doc"]}
    page = engine.ask("POST", f"/{index}/_search?scroll=1m", body)
    while page["hits"]["hits"]:
        yield from (hit["_source"] for hit in page["hits"]["hits"])
        page = engine.ask("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})


if __name__ == "__main__":
    sys.exit(main())
