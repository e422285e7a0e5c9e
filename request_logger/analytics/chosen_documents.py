"""Makes the figures of a command over the documents that its user has chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from request_logger.analytics.conditions import where
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Scope, find_scope
from request_logger.settings import Settings
from request_logger.store.excluded_indices import left_out_note
from request_logger.store.ports import EngineReader

Report = dict[str, Any]


class Choice(Protocol):
    """The options that choose documents; see `find_scope`, and `conditions.where` for ``where``."""

    @property
    def target(self) -> str:
        """A deployment or an index."""
        ...

    @property
    def start(self) -> str | None:
        """Start of the time range."""
        ...

    @property
    def end(self) -> str | None:
        """End of the time range, exclusive."""
        ...

    @property
    def by_date(self) -> str:
        """The date that the time range applies to."""
        ...

    @property
    def where(self) -> tuple[str, ...]:
        """Conditions on fields."""
        ...


def figures_over(
    engine: EngineReader, settings: Settings, choice: Choice, make: Callable[[QueryRunner, Scope], Report]
) -> Report:
    """Return what ``make`` makes of the chosen documents, with the indices that were left out and a note on them.

    Raises BadQueryError for an invalid choice, StoreUnavailableError, and what ``make`` raises.
    """
    runner = QueryRunner(engine)
    scope = find_scope(engine, settings, choice.target, choice.start, choice.end, choice.by_date)
    scope = where(runner, scope, choice.where)
    report = runner.settled(lambda: make(runner, scope), scope.indices)
    left_out = runner.left_out.as_json()
    return {**report, "left_out": left_out, "notes": [left_out_note(left_out)]} if left_out else report
