"""`python -m bench.large`: CPU time and memory of the logger for large bodies, as multiples of the body.

A server with one worker gets one request event after another, in binary mode and in batched mode (a batch per event),
and a process like a Kafka consumer reads the same events as records. The engine is in memory (`bench.memory_engine`),
in a process of its own. Per body, size and way:

CPU     the CPU time of the logger's processes per event, from the socket to the engine's answer, divided by that of
        `orjson.loads` of the same bytes (for V2's binary form: of the same body as JSON)
memory  the most that the worker had resident, less what it had before the first event, divided by the bytes of the body

The cache of known documents, whose size is a setting, holds none of these. ``--write`` puts the table into
docs/performance.md.
"""

from __future__ import annotations

import argparse
import base64
import multiprocessing
import random
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson
import psutil

from bench import lanes, load, payloads
from bench.inline import Inline
from bench.measure import cpu, processes
from bench.memory_engine import memory_engine
from request_logger.demo.local_server import LocalServer, engine_settings
from request_logger.server.memory_tuning import tune_memory

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
SIZES = (100_000, 1_000_000, 10_000_000)
# Enough events for the kernel's clock, which counts in hundredths of a second.
_SECONDS_OF_PARSING, _LEAST_EVENTS, _MOST_EVENTS = 0.2, 4, 400
# More than what is decoded as a large body.
_WARMING_BYTES, _WARMING_EVENTS = 40_000, 20
_SETTINGS = {
    "GUNICORN_WORKERS": "1",
    "MAX_PAYLOAD_BYTES": str(64 * 2**20),
    "MAX_STRUCTURED_BYTES": str(64 * 2**20),
    "MEMORY_BUDGET_BYTES": str(2**31),
    # Larger documents than this are not cached.
    "CACHE_MAX_BYTES": "10000",
    "STORE_TIMEOUT_SECONDS": "120",
    "ELASTICSEARCH_TIMEOUT_SECONDS": "120",
}


@dataclass(frozen=True, slots=True)
class Body:
    """A body, and the JSON whose parse it is compared with."""

    raw: bytes
    json: bytes
    content_type: str = "application/json"


def _image(size: int) -> Body:
    side = max(int((size / 22) ** 0.5), 1)
    return _of({"instances": payloads.array((1, side, side, 3)).tolist()})


def _pixels(size: int) -> Body:
    side = max(int((size / 13) ** 0.5), 1)
    return _of({"instances": (payloads.array((1, side, side, 3)) * 255).astype(int).tolist()})


def _row(size: int) -> Body:
    return _of({"data": {"ndarray": payloads.array((1, size // 7)).tolist()}})


def _named_row(size: int) -> Body:
    count = size // 25
    names = [f"feature_{column}" for column in range(count)]
    return _of({"data": {"names": names, "ndarray": payloads.array((1, count)).tolist()}})


def _table(size: int) -> Body:
    return _of({"instances": payloads.array((size // 7000, 1000)).tolist()})


def _tensor(size: int) -> Body:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, size // 7]}
    return _of({"inputs": [{**tensor, "data": payloads.array((size // 7,)).tolist()}]})


def _binary(size: int) -> Body:
    values = payloads.array((1, size // 4)).astype("<f4")
    tensor = {"name": "x", "datatype": "FP32", "shape": list(values.shape)}
    head = orjson.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": values.nbytes}}]})
    same = orjson.dumps({"inputs": [{**tensor, "data": values.astype(float).ravel().tolist()}]})
    return Body(head + values.tobytes(), same, "application/octet-stream")


def _base64(size: int) -> Body:
    return _of({"binData": base64.b64encode(random.Random(1).randbytes(size * 3 // 4)).decode()})


def _text(size: int) -> Body:
    return _of({"strData": _words(size)})


def _chat(size: int) -> Body:
    return _of({"model": "m", "messages": [{"role": "user", "content": _words(size)}]})


def _words(size: int) -> str:
    words = ["the ", "capital ", "of ", "France ", "é", "\n", '"Paris" ']
    return "".join(random.Random(1).choices(words, k=size // 5))


def _of(body: Any) -> Body:
    raw = orjson.dumps(body)
    return Body(raw, raw)


BODIES: dict[str, Callable[[int], Body]] = {
    "image, fractions": _image,
    "image, integers": _pixels,
    "row of numbers": _row,
    "row of numbers with names": _named_row,
    "rows of 1,000 numbers": _table,
    "V2 FP32, JSON": _tensor,
    "V2 FP32, binary": _binary,
    "base64": _base64,
    "text with escapes": _text,
    "chat": _chat,
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What an event costs: CPU seconds, and the bytes of memory at the peak."""

    cpu: float
    memory: int


# The memory of a process.


def _resident(pid: int, field: str) -> int:
    """Return a figure (bytes) of a process's memory: VmRSS, or its peak VmHWM (Linux)."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.findall(rf"{field}:\s+(\d+) kB", text)[0]) * 1024


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")


def _over(pid: int, work: Callable[[], object]) -> Cost:
    """Run some work of a process; return its CPU seconds and its peak of memory over what it had before."""
    _forget_peak(pid)
    idle, before = _resident(pid, "VmRSS"), cpu([psutil.Process(pid)])
    work()
    return Cost(cpu([psutil.Process(pid)]) - before, _resident(pid, "VmHWM") - idle)


# The ways in.


def _served(way: str, warming: list[lanes.Sent], events: list[lanes.Sent], url: str) -> Cost:
    """Return the cost of all events in a server."""
    raws = [raw for event in events for raw in lanes.posts(way, [event])]
    with LocalServer({**engine_settings(url), **_SETTINGS}) as server:

        def send(found: Iterable[bytes]) -> None:
            requests = [load.Request((number, way), raw) for number, raw in enumerate(found)]
            if load.run(server.url, requests, connections=1, processes=1).failed:
                raise RuntimeError(f"{way}: an event was not acknowledged")

        send(lanes.posts(way, warming))
        (worker,) = processes(server.pid)[1:]
        return _over(worker.pid, lambda: send(raws))


def _consumed(warming: list[lanes.Sent], events: list[lanes.Sent], url: str) -> Cost:
    """Return the cost of all events in a process that reads them as Kafka records, one after another."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_consume, args=(warming, events[0], len(events), url, theirs)
    )
    process.start()
    try:
        ours.recv()
        assert process.pid is not None

        def work() -> None:
            ours.send(None)
            ours.recv()

        return _over(process.pid, work)
    finally:
        process.kill()
        process.join()


def _consume(warming: list[lanes.Sent], event: lanes.Sent, count: int, url: str, parent: Connection) -> None:
    tune_memory()
    logger = Inline(url, **_SETTINGS)
    lanes.kafka(logger, warming)()
    parent.send(None)
    parent.recv()
    for number in range(count):
        # A copy, in place of the one that Kafka's client makes of a record's value.
        copied = lanes.Sent(event.attributes, bytes(bytearray(event.body)), event.content_type)
        lanes.kafka(logger, [_renumbered(copied, number)])()
        del copied
    parent.send(None)


def _events(body: Body, name: str, count: int) -> list[lanes.Sent]:
    event = lanes.Sent(lanes.attributes(name, 0, "request", 0), body.raw, body.content_type)
    return [_renumbered(event, number) for number in range(count)]


def _renumbered(event: lanes.Sent, number: int) -> lanes.Sent:
    named = {"id": f"{number}", "requestid": f"{number}"}
    return lanes.Sent({**event.attributes, **named}, event.body, event.content_type)


WAYS = ("http", "batch", "kafka")


def measured(kind: str, size: int, way: str, url: str) -> tuple[Body, float, Cost]:
    """Return a body, the CPU seconds of its parse, and what an event with it costs."""
    body = BODIES[kind](size)
    rounds = []
    for _ in range(5):
        started = time.process_time()
        orjson.loads(body.json)
        rounds.append(time.process_time() - started)
    parse = min(rounds)
    count = min(
        max(int(_SECONDS_OF_PARSING / parse), _LEAST_EVENTS), max(40_000_000 // size, _LEAST_EVENTS), _MOST_EVENTS
    )
    # The same name would join the events to the documents of another body.
    name = f"{way}-{list(BODIES).index(kind)}-{size}"
    events = _events(body, name, count)
    # Code that such a body loads, and what it keeps, aren't part of what an event needs.
    warming = _events(BODIES[kind](_WARMING_BYTES), f"warm-{name}", _WARMING_EVENTS)
    found = _consumed(warming, events, url) if way == "kafka" else _served(way, warming, events, url)
    return body, parse, Cost(found.cpu / count, found.memory)


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.large", description="CPU time and memory of large bodies.")
    parser.add_argument("--bodies", nargs="+", choices=list(BODIES), default=list(BODIES))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), help="bytes (default: %(default)s)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    arguments = parser.parse_args()
    titles = [f"{what}, {way}" for way in arguments.ways for what in ("CPU", "memory")]
    lines = [f"| body | bytes | orjson.loads, ms | {' | '.join(titles)} |", f"|---|{'---:|' * (len(titles) + 2)}"]
    print("\n".join(lines), flush=True)
    with memory_engine() as url:
        for kind in arguments.bodies:
            for size in arguments.sizes:
                found = [measured(kind, size, way, url) for way in arguments.ways]
                body, parse = found[0][0], min(parse for _, parse, _ in found)
                cells = [
                    cell
                    for _, _, cost in found
                    for cell in (f"{cost.cpu / parse:.1f}", f"{cost.memory / len(body.raw):.1f}")
                ]
                lines.append(f"| {kind} | {len(body.raw):,} | {parse * 1000:.2f} | {' | '.join(cells)} |")
                print(lines[-1], flush=True)
    if arguments.write:
        text = PAGE.read_text(encoding="utf-8")
        table = "\n".join(lines)
        PAGE.write_text(text.replace(section(text), f"{_START}\n{table}\n{_END}"), encoding="utf-8")


_START, _END = "<!-- large: made by `python -m bench.large --write` -->", "<!-- end of large -->"


def section(page: str) -> str:
    """Return the table of a page, with the comments around it; only these where there is no table."""
    found = re.search(f"{re.escape(_START)}.*?{re.escape(_END)}", page, re.DOTALL)
    return found[0] if found else f"{_START}\n{_END}"


if __name__ == "__main__":
    main()
