"""`python -m bench.first`: the logger under load, compared with one `_update?refresh=true` per event, in one run.

2,000 predictions with request, response and feedback (6,000 events) go through HTTP to a real server with its default
settings, over 16 connections; the next events of a prediction may be sent before the previous ones are acknowledged.
Then the engine is queried: each acknowledged event must be in its document, each document must be scored, and there
must be no other document.

The comparison is the original's way of writing, one `_update?refresh=true` per event, with minimal overhead
(`bench.one_update`), under the same server, from the same senders, on the same engine. The last row is the same without
a server: the 16 connections send the updates directly to the engine. The required ratio of ten refers to the first of
the two. The three take turns, so that other load on the machine affects all of them, and are warmed up before, because
a Java engine is several times slower during its first tens of thousands of events.
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
from request_logger.demo.local_server import LocalServer, engine_settings
from request_logger.settings import Settings, cores

CONNECTIONS = 16
EXPECTED_RATIO = 10
PARTS = ("request", "response", "feedback")
CLASSES = ("setosa", "versicolor", "virginica")
OURS, ONE, STRAIGHT = "request-logger", "one update per event", "the same, without a server"
TURNS = 3
_PAGE = 5000
_WARM_INDICES = 4
WORKERS = Settings.from_env({}).gunicorn_workers
# The comparison has one worker per core, its fastest configuration.
CORES = min(cores(), Settings.gunicorn_workers)
ONE_UPDATE = (
    *("-m", "gunicorn", "--worker-class", "gthread", "--keep-alive", "75"),
    *("--workers", str(CORES), "--threads", str(Settings.gunicorn_threads), "bench.one_update:app"),
)


def main() -> int:
    """Measure, check and print; status 1 if an event is lost or the ratio is below EXPECTED_RATIO."""
    parser = argparse.ArgumentParser(prog="python -m bench.first", description="The logger under load.")
    parser.add_argument("--predictions", type=int, default=2000, help="number of predictions (default: 2000)")
    parser.add_argument("--warm-up", type=int, default=12000, help="predictions to warm up with (default: 12000)")
    parser.add_argument("--updates", type=int, default=501, help="events per comparison (default: 501)")
    parser.add_argument("--workers", type=int, default=WORKERS, help=f"workers of request-logger (default: {WORKERS})")
    arguments = parser.parse_args()
    run_id = uuid.uuid4().hex[:8]
    with engine_url() as url:
        settings, engine = engine_settings(url), Client(url)
        ours = {**settings, "GUNICORN_WORKERS": str(arguments.workers)}
        with LocalServer(ours) as server, LocalServer(settings, python=ONE_UPDATE) as other:
            warm_up(engine, run_id, (server.url, arguments.warm_up), (other.url, arguments.updates // 9))
            engine.ask("PUT", f"/{index_of(run_id + '-u')}")
            engine.ask("PUT", f"/{index_of(run_id + '-s')}")
            few = -(-arguments.updates // len(PARTS))
            work = {
                OURS: (server.url, make_events(arguments.predictions, run_id, server.url)),
                ONE: (other.url, make_events(few, f"{run_id}-u", other.url)[: arguments.updates]),
                STRAIGHT: (url, make_updates(arguments.updates, f"{run_id}-s", url)),
            }
            runs: dict[str, list[load.Run]] = {name: [] for name in work}
            for turn in range(TURNS):
                for name, (address, requests) in work.items():
                    share = [request for request in requests if request.key[0] % TURNS == turn]
                    runs[name].append(load.run(address, share, connections=CONNECTIONS))
        rows = {name: load.joined(parts) for name, parts in runs.items()}
        problems = check(engine, index_of(run_id), rows[OURS], arguments.predictions)
        engine.drop(f"{index_of(run_id).removesuffix('-default')}*")
    problems += report(rows)
    for problem in problems:
        print(f"FAILED: {problem}")
    if not problems:
        print(
            f"all {3 * arguments.predictions} events are in the engine, {arguments.predictions} documents, all scored"
        )
    return int(bool(problems))


def warm_up(engine: Client, run_id: str, ours: tuple[str, int], theirs: tuple[str, int]) -> None:
    """Send uncounted predictions to both servers."""
    for (url, predictions), suffix in ((ours, "-w"), (theirs, "-v")):
        # In several indices, since the engine recompiles for the first of them.
        for number in range(_WARM_INDICES):
            name = f"{run_id}{suffix}{number}"
            load.run(url, make_events(predictions // _WARM_INDICES, name, url), connections=CONNECTIONS)


def report(rows: dict[str, load.Run]) -> list[str]:
    """Print one row per run, and return the problems."""
    problems = []
    ours = rows[OURS]
    print(f"{'':28}{'events':>8}{'events/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'ratio':>10}")
    for name, run in rows.items():
        p50, p99 = run.percentile(0.5) * 1000, run.percentile(0.99) * 1000
        times = "" if run is ours else f"{f'{ours.rate / run.rate:.1f} x':>10}"
        print(f"{name:28}{len(run.results):>8}{run.rate:>10.0f}{p50:>9.1f}{p99:>9.1f}{times}")
        if run.failed:
            problems.append(f"{name}: {run.failed} events were not acknowledged")
    if ours.rate < EXPECTED_RATIO * rows[ONE].rate:
        problems.append(f"expected at least {EXPECTED_RATIO} times the rate of {ONE}")
    return problems


def bodies(number: int) -> dict[str, Any]:
    """Return the three messages of a prediction, the same for the same number."""
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
    """Return whether the prediction of that number is right."""
    chance = random.Random(number)
    weights = [chance.random() for _ in CLASSES]
    return chance.randrange(len(CLASSES)) == weights.index(max(weights))


def make_events(predictions: int, deployment: str, url: str) -> list[load.Request]:
    """Return the events, as an executor sends them, in the order of the predictions."""
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
    """Return the same bodies as the original writes them: one update per event, which waits for its own refresh."""
    requests = []
    for event in range(events):
        number, part = event // len(PARTS), PARTS[event % len(PARTS)]
        path = f"/{index_of(deployment)}/_update/{number}?refresh=true&retry_on_conflict=10"
        body = {"doc": {part: {"payload": bodies(number)[part]}, "RequestId": str(number)}, "doc_as_upsert": True}
        raw = load.post(engine + path, {"Content-Type": "application/json"}, json.dumps(body).encode())
        requests.append(load.Request((number, part), raw))
    return requests


def index_of(deployment: str) -> str:
    """Return the index of a deployment's events."""
    return f"inference-log-seldon-bench-{deployment}-default"


def check(engine: Client, index: str, run: load.Run, predictions: int) -> list[str]:
    """Return the problems: acknowledged events that the engine does not have, and wrong documents or metrics."""
    found: dict[str, dict[str, Any]] = {}
    engine.ask("POST", f"/{index}/_refresh")
    page = engine.ask("POST", f"/{index}/_search?scroll=1m", {"size": _PAGE, "sort": ["_doc"]})
    while page["hits"]["hits"]:
        found.update({hit["_id"]: hit["_source"] for hit in page["hits"]["hits"]})
        page = engine.ask("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})
    problems = []
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
    if not run.failed and (None in correct or sum(correct) != sum(map(is_right, range(predictions)))):
        problems.append(f"{correct.count(None)} documents without metrics, or wrong ones")
    return problems


if __name__ == "__main__":
    sys.exit(main())
