"""The logger in one thread, without a server: the pipeline and the events route over a writer that runs when asked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from greenlet import getcurrent, greenlet
from prometheus_client import Counter, Histogram

from request_logger.documents.document import degrade
from request_logger.ingest.access import Access
from request_logger.ingest.erased import ErasedIds
from request_logger.ingest.key_plan import KeyPlans
from request_logger.ingest.memory_budget import Budget
from request_logger.ingest.pipeline import IngestPipeline
from request_logger.ingest.redaction import Redactor
from request_logger.ingest.replies import Replies
from request_logger.ingest.write_plan import merging
from request_logger.metadata import metadata_source
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import settler
from request_logger.server.events_route import EventsRoute
from request_logger.server.http_metrics import NotedRegistry
from request_logger.settings import Settings
from request_logger.store.changes import Plan
from request_logger.store.client.client import SearchEngine
from request_logger.store.writing.bulk_sender import perform
from request_logger.store.writing.core import WriterCore
from request_logger.store.writing.future import Future
from request_logger.store.writing.linger import Arrival
from request_logger.store.writing.locator import Locator
from request_logger.store.writing.pending import Task
from request_logger.store.writing.ports import Limits
from request_logger.store.writing.rounds import Answer, Round
from request_logger.telemetry import Telemetry


class _Awaited(Future[Any]):
    """A future that has its writer run when someone waits for it."""

    __slots__ = ("_writer",)

    def __init__(self, writer: InlineWriter, then: Callable[[Future[Any]], None] | None) -> None:
        super().__init__(then)
        self._writer = writer

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the error, after the writer has run."""
        if not self.done():
            self._writer.wait(self)
        return super().exception(0)


class InlineWriter:
    """The writer's core with its engine, run by the thread that waits for a future. Plans are collected until then."""

    down_for = 0.0

    def __init__(self, engine: SearchEngine, core: WriterCore) -> None:
        self._engine = engine
        self._core = core
        self._tasks: list[Task] = []

    def submit(
        self,
        plan: Plan,
        weight: int,
        then: Callable[[Future[Any]], None] | None = None,
        arrival: Arrival = Arrival.IN_BULK,
    ) -> Future[Any]:
        """Queue a plan. ``arrival`` changes nothing: nobody lingers, since `flush` runs when all connections wait."""
        task = Task(plan, _Awaited(self, then), weight, math.inf)
        self._tasks.append(task)
        return task.end

    def wait(self, future: Future[Any]) -> None:
        """Let the other connections run until all of them wait; outside of a connection, run at once."""
        current = getcurrent()
        if current.parent is None:
            self.flush()
        while not future.done():
            assert current.parent is not None
            current.parent.switch()

    def flush(self) -> None:
        """Run all plans to their end."""
        core = self._core
        while self._tasks or len(core):
            tasks, self._tasks = self._tasks, []
            for task in tasks:
                core.start(task)
            now = time.monotonic()
            wanted = core.next_round(now)
            for preparation in core.preparations(now):
                core.prepared(preparation.index, True, now)
            if wanted is not None:
                core.answered(wanted, self.send(wanted), now)

    def send(self, wanted: Round) -> Answer:
        """Send a request, and return its answer."""
        return perform(self._engine, wanted)


class Connections:
    """Runs functions by turns, each until it waits for a future; once all of them wait, the writer runs."""

    def __init__(self, writer: InlineWriter, functions: Sequence[Callable[[], None]]) -> None:
        self._writer = writer
        self._running = [greenlet(function) for function in functions]

    def run(self) -> None:
        """Run all functions to their end."""
        while self._running:
            for each in self._running:
                each.switch()
            self._running = [each for each in self._running if not each.dead]
            self._writer.flush()


class Inline:
    """The parts of a logger over the engine at a URL; by default bodies have up to 16 MB."""

    def __init__(self, url: str, **given: str) -> None:
        # The largest body of a profile has 1 MB, and a thousand Kafka records of 100 kB are held at once.
        room = {"MAX_PAYLOAD_BYTES": 16 * 2**20, "MAX_STRUCTURED_BYTES": 16 * 2**20, "MEMORY_BUDGET_BYTES": 2**33}
        known = {name: str(size) for name, size in room.items()} | given
        self.settings = settings = Settings.from_env({"ELASTICSEARCH_HOST": url, **known})
        registry = NotedRegistry()
        # As Flask's exporter registers them.
        Counter("flask_http_request_total", "requests", ["method", "status"], registry=registry)
        Histogram("flask_http_request_duration_seconds", "seconds", ["method", "path", "status"], registry=registry)
        telemetry, budget, access = Telemetry(registry), Budget(settings.memory_budget_bytes), Access(settings)
        replies = Replies(settings, lambda outcome: None)
        chooser = Chooser(settings.scorer, None)
        settle = settler(chooser)
        limits = Limits(bulk_max_bytes=settings.bulk_max_bytes, cache_max_bytes=settings.cache_max_bytes)
        locator = Locator(settings.index_period, merging(settle))
        core = WriterCore(degrade, telemetry, limits, locator)
        self.writer = InlineWriter(SearchEngine(settings, warn=False), core)
        self.pipeline = IngestPipeline(
            settings,
            telemetry=telemetry,
            budget=budget,
            access=access,
            redactor=Redactor(),
            metadata=metadata_source(settings, lambda what: None),
            replies=replies,
            plans=KeyPlans(()),
            settle=settle,
            flat_of=chooser.flat_of,
            erased=ErasedIds(),
            writer=cast(Any, self.writer),
            spool=None,
        )
        self.route = EventsRoute(
            settings,
            self.pipeline,
            lambda request, start: (),
            registry,
            access=access,
            budget=budget,
            replies=replies,
            telemetry=telemetry,
            forwarder=None,
        )
