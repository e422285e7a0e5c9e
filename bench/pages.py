"""`python -m bench.pages`: the time of each page over many documents, and what ten views a second cost the ingest.

The documents are those of `bench.report`. Each page is asked for twice: once computed, once from the cache of a few
seconds. Then predictions are sent at a steady rate, in turns alone and while pages of the section Quality are viewed
ten times a second. These have been viewed before, so that all views are answered from the cache and the pages are
renewed in the background, as on a screen that somebody watches. At the end every acknowledged event must be in the
engine.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from bench.engines import Client, engine_url
from bench.ordinary_traffic import Traffic
from bench.report import check_documents, filled
from bench.shapes import columns
from request_logger.demo.local_server import LocalServer, engine_settings

SECTIONS = ("quality", "classes", "slices", "drift", "feedback", "errors")
VIEWS_PER_SECOND = 10.0
# Predictions a second: half of bench.ordinary's, since the pages' searches share the cores.
_RATE = 100.0
# Each with and without views: on a machine that others use, too, one turn says little.
_TURNS = 2
# The longest answer of the report process is shorter.
_SECONDS = 600.0


def main(given: Sequence[str] | None = None) -> int:
    """Store documents, measure pages and ingest, check and print; status 1 if an event is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description="Time of the pages.")
    parser.add_argument("--documents", type=int, default=1_000_000, help="number of documents (default: 1,000,000)")
    parser.add_argument("--seconds", type=float, default=20.0, help="seconds of each turn of ingest (default: 20)")
    arguments = parser.parse_args(given)
    check_documents(parser, arguments.documents)
    with (
        engine_url(heap="2g") as url,
        filled(url, arguments.documents) as (deployment, _),
        LocalServer({**engine_settings(url), "UI": "true"}) as server,
    ):
        measure_pages(server.url, f"bench/{deployment}")
        missing = measure_ingest(server.url, Client(url), f"bench/{deployment}", arguments.seconds)
    return int(missing > 0)


def measure_pages(url: str, target: str) -> None:
    """Print the seconds of each page, computed and from the cache."""
    print(f"{'page':34}  {'computed':>8}  {'cached':>8}  {'kB':>6}")
    pages = {"list of deployments": "ui", **{name: f"ui?target={target}&section={name}" for name in SECTIONS}}
    pages["quality, split by area"] = f"ui?target={target}&by=area"
    pages["compare"] = f"ui/compare?a=a&b=b&in={target}"
    for name, path in pages.items():
        times = []
        for _ in range(2):
            started = time.perf_counter()
            status, size = view(f"{url}/{path}")
            times.append(time.perf_counter() - started)
            if status != 200:
                raise RuntimeError(f"{name}: the server answered {status}")
        print(f"{name:34}  {times[0]:7.2f} s  {times[1]:7.3f} s  {size / 1000:6.0f}", flush=True)


def measure_ingest(url: str, client: Client, target: str, seconds: float) -> int:
    """Print latencies of events without and with page views; return how many predictions are missing."""
    traffic = Traffic(rate=_RATE, seconds=seconds, feedback_after=1.0)
    paths = [f"{url}/ui?target={target}&by={field}" for field in ("area", "age", "model")]
    missing = 0
    for path in paths:
        view(path)
    times: dict[str, list[float]] = {}
    for name in ("warm-up", *("without views", "with views") * _TURNS):
        deployment = f"ingest-{uuid.uuid4().hex[:8]}"
        sent = replace(traffic, seconds=5.0) if name == "warm-up" else traffic
        shape = columns(4)
        events = sent.events(url, shape, deployment)
        statuses: Counter[int] = Counter()
        stopping = threading.Event()
        viewers = [
            threading.Thread(target=keep_viewing, args=(paths, k, stopping, statuses), daemon=True)
            for k in range(int(VIEWS_PER_SECOND) if name == "with views" else 0)
        ]
        for viewer in viewers:
            viewer.start()
        found = sent.send(url, events)
        stopping.set()
        for viewer in viewers:
            viewer.join()
        index = shape.index(deployment)
        client.ask("POST", f"/{index}/_refresh")
        wanted = len({key[0] for key in found.acknowledged})
        missing += wanted - client.ask("GET", f"/{index}/_count")["count"]
        times.setdefault(name, []).extend(found.times)
        p50, p99 = _p50_and_p99(found.times)
        answers = ", ".join(f"{count} of {status}" for status, count in sorted(statuses.items())) or "none"
        print(
            f"{name:15}  p50 {p50 * 1000:6.1f} ms  p99 {p99 * 1000:6.1f} ms"
            f"  {len(found.acknowledged):,} of {found.events:,} events acknowledged; views: {answers}",
            flush=True,
        )
        client.drop(index)
    without, with_views = (_p50_and_p99(times[name])[1] for name in ("without views", "with views"))
    print(
        f"p99 with {VIEWS_PER_SECOND:g} views a second: {with_views * 1000:.1f} ms, {with_views / without:.2f} x the"
        f" {without * 1000:.1f} ms without; {missing} predictions missing"
    )
    return missing


def _p50_and_p99(times: Sequence[float]) -> tuple[float, float]:
    parts = statistics.quantiles(times, n=100)
    return parts[49], parts[98]


def keep_viewing(paths: Sequence[str], number: int, stopping: threading.Event, statuses: Counter[int]) -> None:
    """View a page each second until stopped, the threads in turn."""
    stopping.wait(number / VIEWS_PER_SECOND)
    while not stopping.is_set():
        started = time.monotonic()
        statuses[view(paths[number % len(paths)])[0]] += 1
        stopping.wait(max(0.0, started + 1 - time.monotonic()))


def view(url: str) -> tuple[int, int]:
    """Return status and size of a page."""
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            return answer.status, len(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, len(error.read())


if __name__ == "__main__":
    raise SystemExit(main())
