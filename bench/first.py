"""`python -m bench.first`: the logger under load, beside one `_update?refresh=true` an event.

2,000 predictions with request, response and feedback (6,000 events) go through HTTP to a real server with its default
settings, 16 at once, while the next events of the same prediction may already be under way. Then the engine is asked:
each acknowledged event must be in its document, each document must be scored, and there must be no document more.

Beside it stands the way the original writes: one `_update?refresh=true` an event. It is measured without any logger:
the same 16 connections go straight to the same engine, which is warm by then. Both is to its favour.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import uuid
from typing import Any

from bench import load
from bench.engines import Client, engine_url
from request_logger.local_server import LocalServer, engine_settings

CONNECTIONS = 16
EXPECTED_RATIO = 10
PARTS = ("request", "response", "feedback")
CLASSES = ("setosa", "versicolor", "virginica")
_PAGE = 5000


def main() -> int:
    """Measure, check and print; status 1 where anything is lost or the ratio is below what is expected."""
    parser = argparse.ArgumentParser(prog="python -m bench.first", description="The logger under load.")
    parser.add_argument("--predictions", type=int, default=2000, help="default: 2000")
    parser.add_argument("--baseline-events", type=int, default=501, help="events of the comparison (default: 501)")
    arguments = parser.parse_args()
    with engine_url() as url, LocalServer(engine_settings(url)) as server:
        engine = Client(url)
        # A new JVM is slow for its first seconds, in either way of writing.
        warm_up = make_events(200, "bench-warm-up", server.url)
        load.run(server.url, warm_up, connections=CONNECTIONS)
        deployment = f"bench-{uuid.uuid4().hex[:8]}"
        events = make_events(arguments.predictions, deployment, server.url)
        ours = load.run(server.url, events, connections=CONNECTIONS)
        problems = check(engine, index_of(deployment), ours, arguments.predictions)
        engine.ask("PUT", f"/{index_of(deployment + '-updates')}")
        updates = make_updates(arguments.baseline_events, deployment + "-updates", url)
        theirs = load.run(url, updates, connections=CONNECTIONS)
        failed = sum(result.status >= 300 or result.status == 0 for result in theirs.results)
        problems += [f"{failed} updates of the comparison failed"] if failed else []
        for name in ("bench-warm-up", deployment, deployment + "-updates"):
            engine.drop(index_of(name))
    ratio = ours.rate / theirs.rate
    print(f"{'':34}{'events':>8}{'events/s':>10}{'p50 ms':>9}{'p99 ms':>9}")
    for name, run in (("request-logger, events over HTTP", ours), ("_update?refresh=true an event", theirs)):
        p50, p99 = run.percentile(0.5) * 1000, run.percentile(0.99) * 1000
        print(f"{name:34}{len(run.results):>8}{run.rate:>10.0f}{p50:>9.1f}{p99:>9.1f}")
    print(f"{ratio:.1f} times the rate, {CONNECTIONS} connections at once")
    if ratio < EXPECTED_RATIO:
        problems.append(f"expected at least {EXPECTED_RATIO} times the rate")
    for problem in problems:
        print(f"FAILED: {problem}")
    if not problems:
        print(f"all {len(ours.results)} events acknowledged and found, {arguments.predictions} documents, all scored")
    return int(bool(problems))


def bodies(number: int) -> dict[str, Any]:
    """The three messages of a prediction, the same for the same number."""
    chance = random.Random(number)  # nothing secret
    weights = [chance.random() for _ in CLASSES]
    probabilities = [weight / sum(weights) for weight in weights]
    truth = chance.randrange(len(CLASSES))
    names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    flower = [round(chance.uniform(0.1, 8), 1) for _ in names]
    return {
        "request": {"data": {"names": names, "ndarray": [flower]}},
        "response": {"data": {"names": CLASSES, "ndarray": [probabilities]}, "meta": {}},
        "feedback": {"reward": int(is_right(number)), "truth": {"data": {"ndarray": [truth]}}},
    }


def is_right(number: int) -> bool:
    """Whether the prediction of that number is right."""
    chance = random.Random(number)
    weights = [chance.random() for _ in CLASSES]
    return chance.randrange(len(CLASSES)) == weights.index(max(weights))


def make_events(predictions: int, deployment: str, url: str) -> list[load.Request]:
    """The events, as an executor sends them, in the order of the predictions."""
    requests = []
    for number in range(predictions):
        for step, (part, body) in enumerate(bodies(number).items()):
            headers = {
                "Content-Type": "application/json",
                "Ce-Specversion": "1.0",
                "Ce-Id": f"{deployment}-{number}-{part}",
                "Ce-Source": "http://127.0.0.1:8000/",
                "Ce-Type": f"io.seldon.serving.{'' if part == 'feedback' else 'inference.'}{part}",
                "Ce-Time": time.strftime(f"%Y-%m-%dT%H:%M:%S.{step:03}Z", time.gmtime()),
                "Ce-Requestid": f"{deployment}-{number}",
                "Ce-Inferenceservicename": deployment,
                "Ce-Modelid": "classifier",
                "Ce-Namespace": "bench",
                "Ce-Endpoint": "default",
            }
            requests.append(load.Request((number, part), load.post(url, headers, json.dumps(body).encode())))
    return requests


def make_updates(events: int, deployment: str, engine: str) -> list[load.Request]:
    """The same bodies written the original's way: every event one update that waits for its own refresh."""
    requests = []
    for event in range(events):
        number, part = event // len(PARTS), PARTS[event % len(PARTS)]
        path = f"/{index_of(deployment)}/_update/{number}?refresh=true&retry_on_conflict=10"
        body = {"doc": {part: {"payload": bodies(number)[part]}, "RequestId": str(number)}, "doc_as_upsert": True}
        raw = load.post(engine + path, {"Content-Type": "application/json"}, json.dumps(body).encode())
        requests.append(load.Request((number, part), raw))
    return requests


def index_of(deployment: str) -> str:
    """The index of a deployment's events."""
    return f"inference-log-seldon-bench-{deployment}-default"


def check(engine: Client, index: str, run: load.Run, predictions: int) -> list[str]:
    """What of the acknowledged events the engine does not hold, and whatever else is not as it must be."""
    found: dict[str, dict[str, Any]] = {}
    engine.ask("POST", f"/{index}/_refresh")
    page = engine.ask("POST", f"/{index}/_search?scroll=1m", {"size": _PAGE, "sort": ["_doc"]})
    while page["hits"]["hits"]:
        found.update({hit["_id"]: hit["_source"] for hit in page["hits"]["hits"]})
        page = engine.ask("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})
    problems = []
    refused = [result for result in run.results if not 200 <= result.status < 300]
    if refused:
        problems.append(f"{len(refused)} events were not acknowledged, the first with status {refused[0].status}")
    lost = 0
    name = index.removeprefix("inference-log-seldon-bench-").removesuffix("-default")
    for result in run.results:
        number, part = result.key
        payload = found.get(f"{name}-{number}", {}).get(part, {})
        kept = payload if part == "feedback" else payload.get("payload", {})
        sent = json.loads(json.dumps(bodies(number)[part]))
        if 200 <= result.status < 300 and not sent.items() <= kept.items():
            lost += 1
    if lost:
        problems.append(f"{lost} acknowledged events are not in the engine")
    count = engine.ask("GET", f"/{index}/_count")["count"]
    if count != predictions:
        problems.append(f"{count} documents for {predictions} predictions")
    correct = [document.get("metrics", {}).get("correct") for document in found.values()]
    if not refused and (None in correct or sum(correct) != sum(map(is_right, range(predictions)))):
        problems.append(f"{correct.count(None)} documents without metrics, or wrong ones")
    return problems


if __name__ == "__main__":
    sys.exit(main())
