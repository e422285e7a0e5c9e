"""Runs plans: queues their changes, resumes them with the results, and fails them at their deadlines. No I/O."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

from request_logger.store.changes import Document, StoreUnavailableError, UnreadableError
from request_logger.store.writing.pending import Entry, PendingDocument, Task

LATE = "the engine did not store it in time"
"""The error of a plan that missed its deadline."""


class PlanRunner:
    """Runs the plans that are in progress.

    ``enqueue`` queues a change and returns the document that holds it. ``release`` is called for each document that may
    have lost its last change, ``finished`` for each task that ended. Not thread-safe: the caller holds the writer's
    lock.
    """

    def __init__(
        self,
        enqueue: Callable[[Entry], PendingDocument],
        release: Callable[[PendingDocument], None],
        finished: Callable[[Task], None],
    ) -> None:
        self._enqueue = enqueue
        self._release = release
        self._finished = finished
        # All have the same time limit, so they reach their deadlines in the order of submission. A task that ended must
        # not stay here behind others: its future holds the event, whose memory has been given back to the budget.
        self._by_deadline: OrderedDict[Task, None] = OrderedDict()
        self._overdue: OrderedDict[Task, None] = OrderedDict()
        """Tasks past their deadline with requests in flight, whose answers may still arrive."""

    def start(self, task: Task) -> None:
        """Run a plan until it yields its first changes."""
        self._by_deadline[task] = None
        self._advance(task)

    def deliver(self, entries: list[Entry], document: Document | None) -> None:
        """Pass the final document to the plans whose changes were applied and stored."""
        for entry in entries:
            if not entry.task.end.ended:
                assert entry.task.results is not None
                entry.task.results[entry.position] = document
                self._settle(entry.task, entry.position)

    def deliver_error(self, entries: list[Entry], error: UnreadableError) -> None:
        """Raise an error in the plans, once their other changes are stored."""
        for entry in entries:
            if not entry.task.end.ended:
                entry.task.unreadable = error
                self._settle(entry.task, entry.position)

    def reject(self, entries: list[Entry], error: Exception) -> None:
        """End with an error the tasks of entries that are no longer queued in a document."""
        for entry in entries:
            entry.task.documents[entry.position] = None
        for entry in entries:
            self.fail(entry.task, error)

    def fail(self, task: Task, error: Exception) -> None:
        """End a task with an error; its remaining changes are dropped."""
        if task.end.ended:
            return
        task.plan.close()
        documents = task.documents
        self._ended(task)
        task.end.set_exception(error)
        for document in documents:
            if document is not None:
                document.live -= 1
                self._release(document)

    def _ended(self, task: Task) -> None:
        task.documents, task.results = [], None
        self._by_deadline.pop(task, None)
        self._overdue.pop(task, None)
        self._finished(task)

    def next_deadline(self) -> float:
        """Return the next deadline (core's clock); infinite if no task is in progress."""
        first = next(iter(self._by_deadline), None)
        return math.inf if first is None else first.deadline

    def drop_late(self, now: float) -> None:
        """Fail the tasks past their deadline, unless one of their requests is in flight."""
        while self.next_deadline() < now:
            task, _ = self._by_deadline.popitem(last=False)
            self._overdue[task] = None
        for task in list(self._overdue):
            self._drop_unless_in_flight(task)

    def _drop_unless_in_flight(self, task: Task) -> None:
        documents = [document for document in task.documents if document is not None]
        if any(document.action is not None for document in documents):
            return
        reasons = [document.delayed_by for document in documents if document.delayed_by]
        self.fail(task, StoreUnavailableError(f"{LATE}: {reasons[0]}" if reasons else LATE))

    def _settle(self, task: Task, position: int) -> None:
        task.documents[position] = None
        task.missing -= 1
        if task.missing == 0:
            self._advance(task)

    def _advance(self, task: Task) -> None:
        """Run a plan until it yields its next changes, and queue them; end the task if the plan has ended."""
        results, error = task.results, task.unreadable
        task.documents = []
        while True:
            try:
                # A generator that was not started accepts only None.
                changes = task.plan.throw(error) if error is not None else task.plan.send(results)  # type: ignore[arg-type]
            except StopIteration as end:
                self._ended(task)
                task.end.set_result(end.value)
                return
            except Exception as failure:
                self._ended(task)
                task.end.set_exception(failure)
                return
            if changes:
                break
            results, error = [], None
        task.results, task.unreadable, task.missing = [None] * len(changes), None, len(changes)
        task.documents = [self._enqueue(Entry(task, position, change)) for position, change in enumerate(changes)]
