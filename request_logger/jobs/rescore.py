"""Applies a changed scorer to stored documents: reads, scores, and writes where anything derived differs.

Documents are read in the order of their time, so one time marks the progress of a run: everything before it is done.
Each write goes through the store's writer as an event's does: the change is applied to the current version of the
document, with optimistic concurrency. A run can therefore proceed during live traffic, be stopped, and be repeated:
documents that already have the right fields are left alone.
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
from request_logger.analytics.selection import READABLE, TIME, Query, Selection, any_of, exists, having
from request_logger.common.mapped_fields import PREDICTION, SCORED_AT
from request_logger.documents.document import Document, expand
from request_logger.documents.folds import FOLD
from request_logger.scoring.registry import ScorerError, build
from request_logger.scoring.score import ChooserLike, ScorerLike, Settle
from request_logger.settings import Settings
from request_logger.store.changes import Change, Plan, RejectedError
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import Hit, Scan
from request_logger.store.writing.future import Future
from request_logger.store.writing.writer import Writer
from scorers.base import Row

# The fields that scoring doesn't need, which are most of a document.
_NOT_NEEDED = ("request", "nodes", "outlier", "drift", "feedback.request", "response.payload", "response.elements")
_LARGE = ("payload", "instance")
# The memory (bytes) that one pending change is assumed to hold; the writer fetches the documents themselves.
_WEIGHT = 4096
UNSCORABLE = "unscorable"
# Rejection reasons that a run reports; further ones are only counted.
MOST_REASONS = 5


@dataclass(slots=True)
class Counts:
    """The outcomes of the documents that were read."""

    read: int = 0
    changed: int = 0
    """Written; in a dry run: would be written."""
    same: int = 0
    """The stored metrics and prediction equal the scorer's, and the fold is right."""
    refused: int = 0
    """The search engine rejected the new document; the stored one remains."""


@dataclass(slots=True)
class Side:
    """The roll-ups before or after a run, by scorer name; documents that could not be scored are counted separately."""

    accumulators: dict[str, Accumulator] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, metrics: Any, scorers: dict[str, HasMetrics]) -> None:
        """Add a document's ``metrics``."""
        if not isinstance(metrics, dict):
            return
        name = UNSCORABLE if UNSCORABLE in metrics else metrics.get("scorer")
        if not isinstance(name, str):
            return
        self.counts[name] = self.counts.get(name, 0) + 1
        if name != UNSCORABLE and name in scorers:
            # Not setdefault: building an accumulator costs far more than adding to it.
            if name not in self.accumulators:
                self.accumulators[name] = Accumulator(scorers[name])
            # Another program's metrics may have text instead of numbers, which the search engine doesn't sum either.
            with contextlib.suppress(TypeError, ValueError, OverflowError):
                self.accumulators[name].add(metrics)


class Scorers:
    """A chooser that records the scorers it chose, so that their metrics can be rolled up."""

    def __init__(self, chooser: ChooserLike) -> None:
        self._chooser = chooser
        self.by_name: dict[str, HasMetrics] = {}
        self._unknown: set[str] = set()

    def choose(
        self, namespace: str, deployment: str, predictor: str, model: str, truth: Row | None, prediction: Row | None
    ) -> ScorerLike:
        """Return the wrapped chooser's scorer, and record it."""
        scorer = self._chooser.choose(namespace, deployment, predictor, model, truth, prediction)
        metrics = getattr(scorer, "metrics", None)
        if metrics is not None:
            self.by_name[scorer.name] = cast(HasMetrics, scorer)
        return scorer

    def choose_for_response(
        self, namespace: str, deployment: str, predictor: str, model: str, prediction: Row
    ) -> Any | None:
        """Return the wrapped chooser's scorer."""
        return self._chooser.choose_for_response(namespace, deployment, predictor, model, prediction)

    def learn(self, metrics: Any) -> None:
        """Record the scorer that stored metrics name, if it is a built-in one."""
        name = metrics.get("scorer") if isinstance(metrics, dict) else None
        if not isinstance(name, str) or name in self.by_name or name in self._unknown:
            return
        self._unknown.add(name)
        with contextlib.suppress(ScorerError):
            made = build(name, {})
            if hasattr(made, "metrics"):
                self.by_name[name] = made


class Rescore:
    """One run over a selection; without a ``writer`` it is a dry run.

    ``settle`` updates a document's metrics with the scorers of ``scorers``. ``on_progress`` is called after each page,
    by one thread at a time, with the counts and the time (ms since 1970) before which everything is done (None: not
    known yet). Each slice runs in a thread; ``_lock`` guards the counts, roll-ups and reasons.
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
        on_progress: Callable[[Counts, int | None], None],
    ) -> None:
        self._engine = engine
        self._path = selection.path(settings)
        self._source = {"excludes": not_needed(settings.fold_key)}
        self._filters: list[Query] = [READABLE, *selection.filters()]
        self._scorers = scorers
        self._settle = settle
        self._writer = writer
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.counts = Counts()
        self.before, self.after = Side(), Side()
        self.reasons: list[str] = []
        self.point_in_time = False
        self.left_out: list[dict[str, str]] = []

    def start_at(self, time: int) -> None:
        """Skip documents before this time (ms since 1970), which an earlier run has done."""
        since = {"range": {TIME: {"gte": time, "format": "epoch_millis"}}}
        timeless = {"bool": {"must_not": [exists(TIME)]}}
        self._filters.append(any_of(since, timeless))

    def count(self) -> int:
        """Refresh the indices and return the number of documents to read; 0 where it can't be counted."""
        lenient = {"ignore_unavailable": "true"}
        self._engine.request("POST", f"{self._path}/_refresh", params=lenient)
        status, answer = self._engine.request("POST", f"{self._path}/_count", self._body(), params=lenient)
        found = answer.get("count") if status == 200 and isinstance(answer, dict) else None
        # Only shown as the length of the run, which itself reports the indices that it can't read.
        return found if isinstance(found, int) else 0

    def run(self, *, slices: int, page: int) -> None:
        """Read, score and write the selection. Raises ScanError, StoreUnavailableError; what is done stays done."""
        reached: list[int | None] = [None] * slices
        scan = Scan(self._engine, self._path, self._body()["query"], source=self._source, page=page, slices=slices)
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
                    self._on_progress(self.counts, min(times) if len(times) == len(reached) else None)
        except BaseException:
            self._stop.set()
            raise
        with self._lock:
            # A finished slice no longer limits the progress.
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
                self.before.add(_whole(hit.source, "metrics"), self._scorers.by_name)
                self.after.add(_whole(wanted, "metrics"), self._scorers.by_name)
            if not changes:
                continue
            if self._writer is None:
                with self._lock:
                    self.counts.changed += 1
            else:
                waiting.append(self._writer.submit(self._plan(hit), _WEIGHT))
        self._await_writes(waiting)

    def _await_writes(self, waiting: list[Future[Any]]) -> None:
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
        # It may have been deleted since: the pending feedback of a batch moves to the documents of its rows.
        return stored if stored is None else self._scored(stored)

    def _scored(self, document: Document) -> Document:
        """Return the document with what is derived from it, or itself if only `scored_at` would change."""
        wanted = self._settle(document)
        if wanted is document or (_compared(document) == _compared(wanted)):
            return document
        return wanted


def _whole(document: Document, name: str) -> Any:
    kept = document.get(name)
    return expand(kept) if isinstance(kept, dict) else kept


def _compared(document: Document) -> tuple[Any, ...]:
    metrics = _whole(document, "metrics")
    scored = {**metrics, SCORED_AT: None} if isinstance(metrics, dict) else metrics
    return scored, _whole(document, PREDICTION), document.get(FOLD)


def not_needed(fold_key: str) -> list[str]:
    """Return the fields of a document that neither scoring nor its fold needs: they are not fetched."""
    within = [name for name in _NOT_NEEDED if f"{fold_key}.".startswith(f"{name}.")]
    large = [
        f"{name}.{field}" for name in within for field in _LARGE if not f"{fold_key}.".startswith(f"{name}.{field}.")
    ]
    return [*(name for name in _NOT_NEEDED if name not in within), *large]


def table(before: Side, after: Side) -> Iterator[tuple[str, str, float | None, float | None]]:
    """Yield the rows of the before-and-after table: scorer, metric, value before, value after.

    The first row of a scorer, ``documents``, is their number. Tables by class are omitted.
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
