"""The store in memory: what the pure functions make of events, one after the other. The oracle of several tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from request_logger.documents.event import Event
from request_logger.documents.parts import parts_of
from request_logger.ingest.write_plan import record
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import Settle, settler
from request_logger.store.changes import Change

Store = dict[tuple[str, str], dict[str, Any]]
SETTLE = settler(Chooser("auto", None))


def apply(store: Store, change: Change) -> dict[str, Any] | None:
    """One change, as atomic as the engine's conditional write makes it."""
    key = (change.index, change.id)
    # A copy: what the engine gives back is never the object that was sent.
    stored = _copied(store[key]) if key in store else None
    wanted = change.apply(stored)
    if wanted is None:
        store.pop(key, None)
        return None
    store[key] = wanted
    return wanted


def _copied(value: Any) -> Any:
    """Return a copy of a JSON value; whole numbers of any size stay exact."""
    if value.__class__ is dict:
        return {name: _copied(inner) for name, inner in value.items()}
    return [_copied(inner) for inner in value] if value.__class__ is list else value


def in_order(events: Iterable[Event], settle: Settle = SETTLE) -> Store:
    """Store events one after the other. ``settle`` is what scores them."""
    store: Store = {}
    for event in events:
        plan = record(event, parts_of(event), settle)
        results: Any = None
        while True:
            try:
                changes = plan.send(results)
            except StopIteration:
                break
            results = [apply(store, change) for change in changes]
    return without_times(store)


def without_times(store: Store) -> Store:
    """Take out what differs between two equal results: when they were scored."""
    for source in store.values():
        source.get("metrics", {}).pop("scored_at", None)
    return store
