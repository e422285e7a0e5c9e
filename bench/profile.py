"""`python -m bench.profile`: CPU time of the logger per event by stage, for each lane and size of body.

The lanes are HTTP in binary mode, structured events, batches of 99 events, and Kafka records. A body of up to 4 KB is
the request of a prediction whose response and feedback are stored and scored, too; of larger ones only the requests are
measured, such as those of a chat of 20 kB. All stages run in one thread of this process; the client's requests go to an
engine in another process (`bench.memory_engine`), so that the stage `bulk` has the client and its system calls, and
no work of an engine. The sockets of senders and Kafka's client are not measured: `bench.speed` and `bench.kafka` do
that.

read        the HTTP request or the record's headers
envelope    the CloudEvent
payload     the body to rows
document    the rows to parts of documents
plan        joining parts to documents
serialise   known documents from JSON, documents to JSON
writer      queueing, choosing and building requests
scoring     metrics
bulk        sending requests, reading answers
other       the rest of the route: admission, memory budget, answers, counters

`total` is measured without the timers of the stages, which are scaled to add up to it. The last column is the time in
which orjson parses the same bodies. `--digest N` stores N mixed events in all lanes and prints a hash of all documents
instead: two versions of the logger that store the same print the same.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import orjson

from bench import first, lanes
from bench.engines import Client
from bench.inline import Inline
from bench.memory_engine import memory_engine
from request_logger.documents import parts
from request_logger.ingest import key_plan, pipeline, write_plan
from request_logger.kafka import binding
from request_logger.server import batch_route, events_route
from request_logger.server.fast_parser import FastParser
from request_logger.server.memory_tuning import tune_memory
from request_logger.store.writing import steps

STAGES = ("read", "envelope", "payload", "document", "plan", "serialise", "writer", "scoring", "bulk", "other")
_ROUNDS = 3
# So many events are measured of each lane and body: at most these bytes, but a least number of events.
_EVENTS, _LEAST_EVENTS, _BYTES = 3000, 12, 12 * 2**20


# The timers.


@dataclass(slots=True)
class Stages:
    """CPU seconds by stage: a stage's time doesn't include that of the stages that it calls."""

    seconds: dict[str, float] = field(default_factory=dict)
    _now: str = "other"
    _since: int = 0

    def start(self) -> None:
        """Begin with the stage `other`."""
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._now, self._since = "other", time.thread_time_ns()

    def enter(self, stage: str) -> str:
        """Charge the time since the last call to the current stage, begin another, and return the one before."""
        now = time.thread_time_ns()
        before = self._now
        self.seconds[before] += (now - self._since) / 1e9
        self._now, self._since = stage, now
        return before

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same within a stage."""

        def run(*args: Any, **options: Any) -> Any:
            before = self.enter(stage)
            try:
                return function(*args, **options)
            finally:
                self.enter(before)

        return run

    def timed_generator(self, stage: str, function: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., Any]:
        """Return a generator function whose steps are within a stage."""

        def run(*args: Any) -> Generator[Any, Any, Any]:
            steps = function(*args)
            sent = None
            while True:
                before = self.enter(stage)
                try:
                    found = steps.send(sent)
                except StopIteration as end:
                    return end.value
                finally:
                    self.enter(before)
                sent = yield found

        return run


@contextmanager
def timers(stages: Stages, logger: Inline) -> Iterator[None]:
    """Time the stages of a logger."""
    functions = (
        (FastParser, "feed", "read"),
        (binding, "_headers", "read"),
        (events_route, "from_headers", "envelope"),
        (events_route, "from_structured", "envelope"),
        (events_route, "parse_structured", "envelope"),
        (batch_route, "from_parsed", "envelope"),
        (binding, "from_headers", "envelope"),
        (parts, "decode_body", "payload"),
        (parts, "feedback_content", "payload"),
        (parts, "predicted", "payload"),
        (pipeline, "parts_of", "document"),
        (write_plan, "join", "plan"),
        (steps, "loads_keeping", "serialise"),
        (steps, "dumps", "serialise"),
        (logger.writer, "submit", "writer"),
        (logger.writer, "flush", "writer"),
        (logger.writer, "send", "bulk"),
        (logger.pipeline, "_settle", "scoring"),
    )
    generators = ((batch_route, "elements", "envelope"), (key_plan, "record", "plan"))
    patches = [patch.object(owner, name, stages.timed(stage, getattr(owner, name))) for owner, name, stage in functions]
    patches += [
        patch.object(owner, name, stages.timed_generator(stage, getattr(owner, name)))
        for owner, name, stage in generators
    ]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


# The measurements.


@dataclass(slots=True)
class Cost:
    """What an event costs: CPU seconds in total, by stage, and of orjson's parse of the same bodies; its bytes."""

    total: float
    stages: dict[str, float]
    parse: float
    size: float


def measured(url: str, lane: str, size: str, run: str) -> Cost:
    """Return the cost of an event of one lane and size: the round with the least CPU time."""
    request, whole = lanes.request_bodies()[size]
    count = max(min(_EVENTS, _BYTES // len(request)), _LEAST_EVENTS)
    predictions = count // len(first.PARTS) if whole else count
    events = list(lanes.events_of(request, predictions, run, whole=whole))
    logger = Inline(url)
    stages = Stages()
    totals: list[float] = []
    timed: list[dict[str, float]] = []
    for turn in range(_ROUNDS):
        totals.append(_cpu(lanes.LANES[lane](logger, _renamed(events, f"{run}-{turn}"))))
        work = lanes.LANES[lane](logger, _renamed(events, f"{run}-{turn}-timed"))
        with timers(stages, logger):
            stages.start()
            work()
            stages.enter("other")
        timed.append(stages.seconds)
    best = min(timed, key=lambda seconds: sum(seconds.values()))
    parse = min(_cpu(lambda: [orjson.loads(event.body) for event in events]) for _ in range(_ROUNDS))
    n = len(events)
    # The timers take time, too.
    scale = min(totals) / sum(best.values())
    return Cost(
        min(totals) / n,
        {stage: scale * seconds / n for stage, seconds in best.items()},
        parse / n,
        sum(len(event.body) for event in events) / n,
    )


def _renamed(events: list[lanes.Sent], deployment: str) -> list[lanes.Sent]:
    """Return the same events as those of another deployment."""
    found = []
    for event in events:
        part = event.attributes["id"].rpartition("-")[2]
        request_id = f"{deployment}-{event.attributes['requestid'].rpartition('-')[2]}"
        known = {"id": f"{request_id}-{part}", "requestid": request_id, "inferenceservicename": deployment}
        found.append(lanes.Sent({**event.attributes, **known}, event.body, event.content_type))
    return found


def _cpu(work: Callable[[], object]) -> float:
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started


def digest(url: str, count: int) -> str:
    """Store mixed events in every lane, and return the number and the hash of all documents."""
    for lane in lanes.LANES:
        lanes.LANES[lane](Inline(url), list(lanes.mixed(count // len(lanes.LANES), f"mixed-{lane}")))()
    found = Client(url).ask("GET", "/_digest")
    return f"{found['documents']} documents, SHA-256 {found['sha256']}"


def main() -> None:
    """Print the table, or the hash."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description="CPU time per event by stage.")
    parser.add_argument("--lanes", nargs="+", choices=list(lanes.LANES), default=list(lanes.LANES))
    parser.add_argument(
        "--bodies", nargs="+", choices=list(lanes.request_bodies()), default=list(lanes.request_bodies())
    )
    parser.add_argument("--digest", type=int, metavar="N", help="store N mixed events, print a hash of all documents")
    arguments = parser.parse_args()
    tune_memory()
    with memory_engine() as url:
        if arguments.digest:
            print(digest(url, arguments.digest))
            return
        print(f"| lane | body | bytes | {' | '.join(STAGES)} | total, µs | events/s per core | orjson parse, µs |")
        print(f"|---|---|{'---:|' * (len(STAGES) + 4)}")
        for lane in arguments.lanes:
            for number, size in enumerate(arguments.bodies):
                cost = measured(url, lane, size, f"{lane}-{number}")
                shown = " | ".join(f"{cost.stages[stage] * 1e6:,.1f}" for stage in STAGES)
                print(
                    f"| {lane} | {size} | {cost.size:,.0f} | {shown} | {cost.total * 1e6:,.1f} "
                    f"| {1 / cost.total:,.0f} | {cost.parse * 1e6:,.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
