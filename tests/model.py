"""The store in memory: what the pure functions make of events, one after the other. The oracle of several tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from request_logger.common.json import copied
from request_logger.documents.event import Event
from request_logger.documents.parts import parts_of
from request_logger.ingest.write_plan import record
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import Settle, settler
from request_logger.store.changes import Change, Plan

Store = dict[tuple[str, str], dict[str, Any]]
SETTLE = settler(Chooser("auto", None))


def apply(store: Store, change: Change) -> dict[str, Any] | None:
    """One change, as atomic as the engine's conditional write makes it."""
    key = (change.index, change.id)
    # A copy: what the engine gives back is never the object that was sent.
    stored = copied(store[key]) if key in store else None
    wanted = change.apply(stored)
    if wanted is None:
        store.pop(key, None)
        return None
    store[key] = wanted
    return wanted


def in_order(events: Iterable[Event], settle: Settle = SETTLE) -> Store:
    """Store events one after the other. ``settle`` is what scores them."""
    store: Store = {}
    for event in events:
        finish(store, record(event, parts_of(event), settle))
    return without_times(store)


def finish(store: Store, plan: Plan, results: Any = None) -> Any:
    """Carry out the changes that are left of a plan; return its result."""
    while True:
        try:
            changes = plan.send(results)
        except StopIteration as end:
            return end.value
        results = [apply(store, change) for change in changes]


def without_times(store: Store) -> Store:
    """Take out what differs between two equal results: when they were scored."""
    for source in store.values():
        source.get("metrics", {}).pop("scored_at", None)
    return store
