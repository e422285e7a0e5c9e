"""Measures how the cost grows with payload size, rows per batch, workers and documents in the index."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import large, load
from bench.engines import Client
from bench.first import index_of, make_events
from bench.measure import engine_processes, measure
from request_logger.demo.local_server import LocalServer, engine_settings

BULK = 2000
LARGE_INDEX = 1_000_000
FOLDER = "performance"
# Four bodies of 10 MB at once need more memory than a worker has by default.
_ROOMY = {"MEMORY_BUDGET_BYTES": str(2**30)}


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one plot: the size that grows, and the cost."""

    name: str
    title: str
    x: str
    y: str
    points: tuple[tuple[float, float], ...]
    logarithmic: bool = True


def sizes(url: str, engine: Client) -> Curve:
    """Milliseconds per event by the size of its payload."""
    points = []
    with LocalServer(
        {**engine_settings(url), "MAX_PAYLOAD_BYTES": str(64 * 2**20), "BULK_MAX_BYTES": str(32 * 2**20), **_ROOMY}
    ) as server:
        for size, events in ((1_000, 800), (10_000, 800), (100_000, 200), (1_000_000, 30), (10_000_000, 4)):
            points.append((size, _time(server, engine, [_row(size // 8)] * events)))
    return Curve("payload", "one row, by size", "bytes of the payload", "ms per event", tuple(points))


def rows(url: str, engine: Client) -> Curve:
    """Milliseconds per row by the number of rows of a request."""
    points = []
    with LocalServer({**engine_settings(url), "MAX_PAYLOAD_BYTES": str(64 * 2**20)}) as server:
        for count, events in ((1, 800), (10, 200), (100, 40), (1_000, 5), (10_000, 1)):
            batch = [_row(4) for _ in range(count)]
            points.append((count, _time(server, engine, [batch] * events) / count))
    return Curve("rows", "batches, by number of rows", "rows of a request", "ms per row", tuple(points))


def workers(url: str, engine: Client, predictions: int) -> Curve:
    """Events a second by the number of workers."""
    points = []
    for count in (1, 2, 4):
        with LocalServer({**engine_settings(url), "GUNICORN_WORKERS": str(count)}) as server:
            name = _name()
            found = measure(server.url, make_events(predictions, name, server.url), server.pid, engine_processes())
            points.append((count, found.rate))
            engine.drop(index_of(name))
    return Curve("workers", "by workers, 16 connections, two shared cores", "workers", "events/s", tuple(points), False)


def documents(url: str, engine: Client, predictions: int) -> Curve:
    """Events a second by the number of documents in the index."""
    points: list[tuple[float, float]] = []
    held = 0
    name = _name()
    with LocalServer(engine_settings(url)) as server:
        for target in (1, 10_000, 100_000, LARGE_INDEX):
            held = _fill(engine, index_of(name), held, target)
            events = make_events(predictions, name, server.url)
            old, new = f"{name}-".encode(), f"{name}-{target}-".encode()
            fresh = [load.Request(each.key, each.raw.replace(old, new)) for each in events]
            found = measure(server.url, fresh, server.pid, engine_processes())
            points.append((target, found.rate))
    engine.drop(index_of(name))
    return Curve("documents", "by documents in the index", "documents", "events/s", tuple(points))


def write(url: str, engine: Client, page: Path, text: str, predictions: int) -> None:
    """Measure the curves, draw them, and write the page."""
    curves = (
        sizes(url, engine),
        rows(url, engine),
        workers(url, engine, predictions),
        documents(url, engine, predictions),
    )
    folder = page.parent / FOLDER
    folder.mkdir(exist_ok=True)
    kept = large.section(page.read_text(encoding="utf-8"))
    parts = [
        "# Performance",
        "",
        _INTRODUCTION,
        "",
        text,
        _BOUNDS,
        "",
        _LARGE,
        "",
        kept,
        "",
        "## How the cost grows",
        "",
    ]
    for curve in curves:
        _draw(curve, folder / f"{curve.name}.svg")
        figures = ", ".join(f"{x:,.0f}: {y:,.2f}" for x, y in curve.points)
        parts += [
            f"![{curve.y} {curve.title}]({FOLDER}/{curve.name}.svg)",
            "",
            f"{curve.y} by {curve.x}: {figures}.",
            "",
        ]
    page.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")


_INTRODUCTION = """`make bench` generates this page. The search engine (OpenSearch, one node), the logger with its
default settings and the senders share the cores of one machine: compare the ratios, since the figures depend on the
machine. Every row is the median of five runs, in which the rows took turns after the engine's compiler had settled.
The documents in the engine were counted after each run. One update and bare Flask run in their fastest configuration:
gunicorn's gthread with one worker per core."""


_BOUNDS = """## What limits the rates

- With 16 connections, the round trip is the limit. Sender, logger and engine together use somewhat more than one of
  the two cores; an event waits for the events before it in the logger's single thread, and for its `_bulk`. More
  concurrent `_bulk` requests are smaller, and each has a fixed cost for the engine and the logger: with three or
  four, the rate fell by 10 % (with a warm engine, taking turns). 20 times one update would exceed bare Flask, even
  with no engine on its cores.
- Cost per event in the logger (py-spy on the only worker, 16 connections): this project's code, including scoring,
  39 %; gevent and system calls 40 %, of which `_bulk` requests 13, responses 12 and waiting for the next request 9;
  the engine's client 11 %; parsing requests 7 %; counters 3 %.
- Cost in the engine: a small `_bulk` costs almost as much as a larger one. Raw updates in `_bulk` requests of the
  size that 16 senders can fill cost the same without a logger. With 256 connections, an event costs half as much;
  in batches, as much as an update in a large `_bulk`. An engine that has just started costs four times as much for
  the first hundreds of thousands of events: its compiler uses more than half of its CPU time.
- With 16 connections, several workers on the same cores cost more than one: the events of one prediction arrive at
  different workers, which read what another worker has written. With 64 connections, and for batches, two are
  faster.
- Batches: one worker uses one core, of which this project's Python code takes nine tenths, spread evenly (py-spy):
  payloads and documents 28 %, reading the events 21 %, the writer 19 %, scoring 10 %, plans 6 %. Raw `_bulk` sends
  finished documents: 0.6 of its rate leaves the logger about 50 microseconds per event, half of what it needs.
- A compiled helper: there is none. With ten modules of scoring compiled by mypyc, an event of a batch takes 0.99 of its
  CPU time (`python -m bench.profile`, in turns); compiling those for events, payloads and documents did not make them
  faster, either. They work on dictionaries and values of any type, for which compiled code calls the same functions as
  the interpreter. The writer and the plans, a third of an event, would have to become ten times as fast to save 30 %
  of it. How Python itself was built matters more: built with profile-guided optimisation (Debian's 3.11), it took 0.71
  to 0.93 of the CPU time per event of the same version without it (pyenv's default), in four comparisons on a busy
  machine.
- One update per event is bounded by the engine: each update waits for a refresh."""


_LARGE = """## Large bodies

`python -m bench.large --write` measures request events with large bodies, one after another: `CPU` is the CPU time of
the logger per event divided by that of `orjson.loads` of the same bytes, `memory` the most that the worker held, beyond
what it has at rest, divided by the bytes of the body. The document has the body twice, as payload and as instance.

- An array of numbers stays text from the request to the document: only its shape is found, by passes over the bytes. So
  the cost of images, wide rows and tensors is a few of these passes, the checks, and copies.
- Names of columns need an object per name and number (`elements`), and FP32 in JSON is parsed to be rounded: these cost
  several times a parse.
- `orjson.loads` of one long string is a copy of its bytes. Here the logger costs more than three times that: reading
  from a socket and writing the string twice to another one are copies, too.
- A chat of 20 kB takes 136 microseconds to be decoded and written as a document, of which 112 grow with its size: six
  times its parse. The whole event, with the engine's client, took 311 from Kafka.
- What the logger allocates for a row of numbers is four times its bytes: the body, the array's text, and the document
  with both. More is resident since glibc keeps buffers that were freed, and doesn't always use them again.
- The table was measured on a busy machine: its CPU times vary by half."""


def _row(numbers: int) -> list[float]:
    chance = random.Random(numbers)  # nothing secret
    return [round(chance.random(), 6) for _ in range(max(numbers, 1))]


def _name() -> str:
    return uuid.uuid4().hex[:8]


def _time(server: LocalServer, engine: Client, payloads: Sequence[Any]) -> float:
    """Milliseconds that one request event takes with 4 connections."""
    name = _name()
    requests = []
    for number, payload in enumerate(payloads):
        body = json.dumps({"data": {"ndarray": payload if isinstance(payload[0], list) else [payload]}}).encode()
        headers = {
            "Content-Type": "application/json",
            "Ce-Id": f"{name}-{number}",
            "Ce-Type": "io.seldon.serving.inference.request",
            "Ce-Requestid": f"{name}-{number}",
            "Ce-Inferenceservicename": name,
            "Ce-Namespace": "bench",
            "Ce-Endpoint": "default",
        }
        requests.append(load.Request((number, "request"), load.post(server.url, headers, body)))
    run = load.run(server.url, requests, connections=min(4, len(requests)), processes=min(2, len(requests)))
    if run.failed:
        raise RuntimeError(f"{run.failed} of {len(requests)} events were not acknowledged")
    engine.drop(index_of(name))
    return run.seconds / len(requests) * 1000


def _fill(engine: Client, index: str, held: int, target: int) -> int:
    line = b'{"index":{"_id":"old-%d"}}\n{"request":{"instance":[5.1]},"metrics":{"scorer":"reward","correct":1}}\n'
    for start in range(held, target, BULK):
        engine.ask(
            "POST", f"/{index}/_bulk", b"".join(line % number for number in range(start, min(start + BULK, target)))
        )
    return target


def _draw(curve: Curve, path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415  # of the benchmarks only

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "request-logger"
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axes.plot(*zip(*curve.points, strict=True), marker="o")
    if curve.logarithmic:
        axes.set_xscale("log")
        if curve.y.startswith("ms"):
            axes.set_yscale("log")
    if not curve.y.startswith("ms"):
        axes.set_ylim(0, 1.15 * max(y for _, y in curve.points))
    axes.set(title=curve.title, xlabel=curve.x, ylabel=curve.y)
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
