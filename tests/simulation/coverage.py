"""Which rows of the writer's tables were gone through: (state, action, outcome)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from request_logger.store.writing import core
from request_logger.store.writing.states import Action, Kind, State, Transition, rows

Row = tuple[str, str, str]


def rows_by_name() -> set[Row]:
    """Return all rows of the tables."""
    return {(state.name, action.name, kind.name) for state, action, kind, _ in rows()}


@contextmanager
def recorded() -> Iterator[set[Row]]:
    """Note every row that cores go through meanwhile."""
    seen: set[Row] = set()
    original = core.transition

    def noted(state: State, action: Action, kind: Kind) -> Transition:
        seen.add((state.name, action.name, kind.name))
        return original(state, action, kind)

    core.transition = noted
    try:
        yield seen
    finally:
        core.transition = original
