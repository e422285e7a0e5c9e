"""A changed scorer applied to what is stored: read, scored again, and written where the metrics differ.

Documents are read in the order of their time, so one time says how far a run has come: everything before it is done.
Each write goes through the store's writer as an event's does: the change is applied to the document as it is by then,
on the condition that nobody else writes in between. So a run can go on beside live traffic, be stopped, and be
repeated: what has its metrics already is left alone.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

from request_logger.analytics.accumulator import Accumulator
from request_logger.analytics.rollups import HasMetrics
from request_logger.analytics.selection import TIME, WITH_FEEDBACK, Query, Selection, any_of, exists, having
from request_logger.documents.document import Document, expand
from request_logger.scoring.registry import ScorerError, build
from request_logger.scoring.score import ChooserLike, ScorerLike, Settle
from request_logger.settings import Settings
from request_logger.store.changes import Change, Plan, RejectedError
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import Hit, Scan
from request_logger.store.writing.future import Future
from request_logger.store.writing.writer import Writer
from scorers.base import Row

# What scoring needs of a document; payloads and requests are most of it, and stay in the engine.
SOURCE = {
    "excludes": ["request", "nodes", "outlier", "drift", "feedback.request", "response.payload", "response.elements"]
}
# What one waiting change is taken to hold in memory (bytes): the documents themselves are read by the writer.
_WEIGHT = 4096
UNSCORABLE = "unscorable"
MOST_REASONS = 5


@dataclass(slots=True)
class Counts:
    """What became of the documents that were read."""

    read: int = 0
    changed: int = 0
    """Written, or what would be in a dry run."""
    same: int = 0
    """Their metrics are what the scorer gives."""
    refused: int = 0
    """The engine refuses the new form; the stored one stays."""


@dataclass(slots=True)
class Side:
    """The roll-ups before, or after: by the scorer's name, with those that could not be scored apart."""

    accumulators: dict[str, Accumulator] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, metrics: Any, scorers: dict[str, HasMetrics]) -> None:
        """Count a document's ``metrics``."""
        if not isinstance(metrics, dict):
            return
        name = UNSCORABLE if UNSCORABLE in metrics else metrics.get("scorer")
        if not isinstance(name, str):
            return
        self.counts[name] = self.counts.get(name, 0) + 1
        if name != UNSCORABLE and name in scorers:
            # Making one costs far more than adding to it.
            if name not in self.accumulators:
                self.accumulators[name] = Accumulator(scorers[name])
            # Another program's metrics may have text where numbers belong; they are in no sum of an engine either.
            with contextlib.suppress(TypeError, ValueError, OverflowError):
                self.accumulators[name].add(metrics)


class Scorers:
    """A chooser that remembers which scorers it chose, so that their metrics can be rolled up."""

    def __init__(self, chooser: ChooserLike) -> None:
        self._chooser = chooser
        self.by_name: dict[str, HasMetrics] = {}
        self._unknown: set[str] = set()

    def choose(
        self, namespace: str, deployment: str, predictor: str, model: str, truth: Row | None, prediction: Row | None
    ) -> ScorerLike:
        """Choose as the chooser does."""
        scorer = self._chooser.choose(namespace, deployment, predictor, model, truth, prediction)
        metrics = getattr(scorer, "metrics", None)
        if metrics is not None:
            self.by_name[scorer.name] = cast(HasMetrics, scorer)
        return scorer

    def learn(self, metrics: Any) -> None:
        """See to it that the scorer that stored metrics name is known, too, where there is one of that name."""
        name = metrics.get("scorer") if isinstance(metrics, dict) else None
        if not isinstance(name, str) or name in self.by_name or name in self._unknown:
            return
        self._unknown.add(name)
        with contextlib.suppress(ScorerError):
            made = build(name, {})
            if hasattr(made, "metrics"):
                self.by_name[name] = made


class Rescore:
    """One run over a selection. ``writer`` None is a dry run: nothing is written.

    ``settle`` brings a document's metrics up to date with the scorers of ``scorers``. ``tell`` is called after each
    page with the counts and the time (ms since 1970) before which everything is done, None while there is none.
    """

    def __init__(
        self,
        engine: SearchEngine,
        settings: Settings,
        selection: Selection,
        scorers: Scorers,
        settle: Settle,
        *,
        writer: Writer | None,
        tell: Callable[[Counts, int | None], None],
    ) -> None:
        self._engine = engine
        self._path = selection.path(settings)
        self._filters: list[Query] = [WITH_FEEDBACK, *selection.filters()]
        self._scorers = scorers
        self._settle = settle
        self._writer = writer
        self._tell = tell
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.counts = Counts()
        self.before, self.after = Side(), Side()
        self.reasons: list[str] = []
        self.point_in_time = False
        self.left_out: list[dict[str, str]] = []

    def start_at(self, time: int) -> None:
        """Leave out what an earlier run has done: all before this time (ms since 1970)."""
        since = {"range": {TIME: {"gte": time, "format": "epoch_millis"}}}
        timeless = {"bool": {"must_not": [exists(TIME)]}}
        self._filters.append(any_of(since, timeless))

    def count(self) -> int:
        """Make what was acknowledged until now visible, and count what is to be read."""
        lenient = {"ignore_unavailable": "true"}
        self._engine.request("POST", f"{self._path}/_refresh", params=lenient)
        status, answer = self._engine.request("POST", f"{self._path}/_count", self._body(), params=lenient)
        found = answer.get("count") if status == 200 and isinstance(answer, dict) else None
        # It is shown as the length of the run; what an index that can't be read lacks is named by the run itself.
        return found if isinstance(found, int) else 0

    def run(self, *, slices: int, page: int) -> None:
        """Read, score and write all of it. Raises ScanError, StoreUnavailableError; what is done then is done."""
        reached: list[int | None] = [None] * slices
        scan = Scan(self._engine, self._path, self._body()["query"], source=SOURCE, page=page, slices=slices)
        with scan, ThreadPoolExecutor(slices, thread_name_prefix="rescore") as threads:
            self.point_in_time = scan.point_in_time
            self.left_out = scan.left_out.as_json()
            running = [threads.submit(self._run_slice, scan, number, reached) for number in range(slices)]
            try:
                for future in running:
                    future.result()
            except BaseException:
                self._stop.set()
                raise

    def _body(self) -> Query:
        return {"query": having(*self._filters)}

    def _run_slice(self, scan: Scan, number: int, reached: list[int | None]) -> None:
        try:
            for hits in scan.pages(number):
                if self._stop.is_set():
                    return
                self._page(hits)
                with self._lock:
                    if hits[-1].time is not None:
                        reached[number] = hits[-1].time
                    times = [time for time in reached if time is not None]
                    self._tell(self.counts, min(times) if len(times) == len(reached) else None)
        except BaseException:
            self._stop.set()
            raise
        with self._lock:
            # It holds the others back no longer.
            reached[number] = 2**62

    def _page(self, hits: list[Hit]) -> None:
        waiting: list[Future[Any]] = []
        for hit in hits:
            wanted = self._scored(hit.source)
            changes = wanted is not hit.source
            with self._lock:
                self.counts.read += 1
                self.counts.same += not changes
                self._scorers.learn(hit.source.get("metrics"))
                self.before.add(_metrics(hit.source), self._scorers.by_name)
                self.after.add(_metrics(wanted), self._scorers.by_name)
            if not changes:
                continue
            if self._writer is None:
                with self._lock:
                    self.counts.changed += 1
            else:
                waiting.append(self._writer.submit(self._plan(hit), _WEIGHT))
        self._await(waiting)

    def _await(self, waiting: list[Future[Any]]) -> None:
        for future in waiting:
            try:
                future.result()
            except RejectedError as error:
                with self._lock:
                    self.counts.refused += 1
                    if len(self.reasons) < MOST_REASONS:
                        self.reasons.append(str(error))
            else:
                with self._lock:
                    self.counts.changed += 1

    def _plan(self, hit: Hit) -> Plan:
        yield [Change(hit.index, hit.id, self._apply)]

    def _apply(self, stored: Document | None) -> Document | None:
        # It may have been removed since: a batch's feedback that waited is moved to its rows.
        return stored if stored is None else self._scored(stored)

    def _scored(self, document: Document) -> Document:
        """Give the document with its new metrics; itself where they are what is stored, in whatever form."""
        wanted = self._settle(document)
        if wanted is document or _timeless(_metrics(document)) == _timeless(_metrics(wanted)):
            return document
        return wanted


def _metrics(document: Document) -> Any:
    kept = document.get("metrics")
    return expand(kept) if isinstance(kept, dict) else kept


def _timeless(metrics: Any) -> Any:
    return {**metrics, "scored_at": None} if isinstance(metrics, dict) else metrics


def table(before: Side, after: Side) -> Iterator[tuple[str, str, float | None, float | None]]:
    """Give the rows of the before-and-after table: scorer, metric, value before, value after.

    The first row of a scorer, ``documents``, is how many there are. Tables by class are left out.
    """
    for name in sorted({*before.counts, *after.counts}, key=lambda name: (name == UNSCORABLE, name)):
        yield name, "documents", before.counts.get(name, 0), after.counts.get(name, 0)
        old, new = (_numbers(side, name) for side in (before, after))
        for metric in dict.fromkeys([*old, *new]):
            yield name, metric, old.get(metric), new.get(metric)


def _numbers(side: Side, name: str) -> dict[str, float]:
    accumulator = side.accumulators.get(name)
    if accumulator is None:
        return {}
    return {metric: value for metric, value in accumulator.values().items() if not isinstance(value, dict)}
