"""Measures what a load costs the engine and the logger, and checks what is stored afterwards."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import requests
from prometheus_client.parser import text_string_to_metric_families

from bench import open_loop
from bench.engines import Client
from bench.first import PARTS
from bench.measure import compiler_cpu, cpu, engine_processes_at, processes
from bench.shapes import Shape
from bench.stored import compare, disk, writes
from bench.versions import Side
from request_logger.errors import CommandError

_DRAIN_SECONDS = 60.0
_DRAIN_EVERY_SECONDS = 0.5


class Served(Protocol):
    """A process of the logger under test: the pid of its parent process, and the URL of its metrics."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    @property
    def url(self) -> str:
        """Its URL."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """What a load has sent: acknowledged events, the number of all, the duration; and per request, times in seconds.

    ``refused`` counts the requests that were not acknowledged by their status (0: no response).
    """

    acknowledged: Sequence[tuple[int, str]]
    events: int
    seconds: float
    times: Sequence[float] = ()
    times_since_due: Sequence[float] = ()
    refused: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One run. A prediction is a row of a request, which becomes a document: a batch of 100 counts as 100.

    CPU is in milliseconds per prediction, bytes and writes are per prediction, times are in milliseconds (0: there are
    none), ``rate`` is in acknowledged events per second.
    """

    side: str
    body: str
    lane: str
    columns: int
    text_bytes: int
    body_bytes: int
    rows: int
    predictions: int
    events: int
    acknowledged: int
    rate: float
    p50: float
    p99: float
    p99_since_due: float
    engine_ms: float
    compiler_ms: float
    logger_ms: float
    bulks: float
    changes_per_bulk: float
    writes: float
    bytes_merged: float
    bytes_with_overwritten: float
    missing: int
    duplicates: int
    problems: tuple[str, ...] = ()


class Probe:
    """Measures loads on one engine. Raises CommandError if it doesn't run on this machine."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = Client(url)
        self.java = engine_processes_at(url)

    def measure(
        self,
        side: Side,
        shape: Shape,
        lane: str,
        predictions: int,
        prepare: Callable[[str], Callable[[], Sent]],
        served: Served | None = None,
    ) -> Row:
        """Run one load in a new index, and return its figures.

        ``prepare`` gets the name of the deployment, whose index exists and has its first document, and returns the load
        itself; ``predictions`` is the number of its requests. ``served`` is the process that receives it, by default
        the side's server.
        """
        served = served or side.server
        deployment = f"b{uuid.uuid4().hex[:8]}"
        index = shape.index(deployment)
        side.create(index)
        try:
            self._prime(side, shape, deployment, predictions)
            work = prepare(deployment)
            drained(self.engine, index)
            operations, bulks = writes(self.engine, index), bulk_metrics(served.url)
            before = self._used(served)
            sent = work()
            drained(self.engine, index)
            used = [now - then for now, then in zip(self._used(served), before, strict=True)]
            requests_sent, changes = (now - then for now, then in zip(bulk_metrics(served.url), bulks, strict=True))
            operations = writes(self.engine, index) - operations
            size = disk(self.engine, index)
            primed = [(predictions, part) for part in PARTS]
            stored = compare(self.engine, shape, deployment, [*sent.acknowledged, *primed], range(predictions))
        finally:
            self.engine.drop(index)
        problems = stored.problems
        if len(sent.acknowledged) < sent.events:
            statuses = ", ".join(f"{number} x {status}" for status, number in sent.refused.items())
            problems.append(
                f"{sent.events - len(sent.acknowledged)} events were not acknowledged (requests: {statuses})"
            )
        documents = predictions * shape.rows
        return Row(
            side=side.label,
            body=shape.name,
            lane=lane,
            columns=shape.columns,
            text_bytes=shape.text_bytes,
            body_bytes=shape.body_bytes,
            rows=shape.rows,
            predictions=documents,
            events=sent.events,
            acknowledged=len(sent.acknowledged),
            rate=len(sent.acknowledged) / sent.seconds,
            p50=_percentile(sent.times, 0.5),
            p99=_percentile(sent.times, 0.99),
            p99_since_due=_percentile(sent.times_since_due, 0.99),
            engine_ms=used[0] / documents * 1000,
            compiler_ms=used[1] / documents * 1000,
            logger_ms=used[2] / documents * 1000,
            bulks=requests_sent / documents,
            changes_per_bulk=changes / requests_sent if requests_sent else 0.0,
            writes=operations / documents,
            bytes_merged=size.merged / (documents + shape.rows),
            bytes_with_overwritten=size.with_overwritten / (documents + shape.rows),
            missing=stored.missing,
            duplicates=stored.duplicates,
            problems=tuple(problems),
        )

    def _used(self, served: Served) -> tuple[float, float, float]:
        return cpu(self.java), compiler_cpu(self.java), cpu(processes(served.pid))

    def _prime(self, side: Side, shape: Shape, deployment: str, number: int) -> None:
        """Store one prediction: the first one of an index costs its mapping, too."""
        for part in PARTS:
            event = shape.event(side.server.url, deployment, number, part)
            (answer,) = open_loop.send(side.server.url, [open_loop.Due(0, event)], connections=1)
            if not answer.acknowledged:
                raise CommandError(
                    f"{side.label} ({side.version.commit}): {shape.name}: a {part} was answered {answer.status}"
                )


def drained(engine: Client, index: str) -> None:
    """Wait until the number of writes stays the same: with a durable queue, events are acknowledged before."""
    deadline, before = time.monotonic() + _DRAIN_SECONDS, -1
    while (now := writes(engine, index)) != before and time.monotonic() < deadline:
        before = now
        time.sleep(_DRAIN_EVERY_SECONDS)


def bulk_metrics(url: str) -> tuple[float, float]:
    """Return the number of _bulk requests of a logger so far, and of the documents in them."""
    return metric(url, "request_logger_bulk_changes_count"), metric(url, "request_logger_bulk_changes_sum")


def metric(url: str, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples with these labels, 0 if there are none."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(requests.get(f"{url}/metrics", timeout=30).text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def _percentile(seconds: Sequence[float], share: float) -> float:
    return open_loop.percentile(seconds, share) * 1000 if seconds else 0.0
