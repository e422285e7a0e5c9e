"""Makes the figures of a command over the documents that its user has chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from request_logger.analytics.conditions import where
from request_logger.analytics.deployments import several
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
    engine: EngineReader, settings: Settings, choice: Choice, make: Callable[[QueryRunner, Scope], Report], what: str
) -> Report:
    """Return what was asked for and what ``make`` makes of these documents: tasks, notes.

    Of several deployments it is their list (`deployments.several`, for ``what``), without ``tasks``, as that of a
    report. Indices that were left out are named, and in a note. Raises BadQueryError for an invalid choice,
    StoreUnavailableError, and what ``make`` raises.
    """
    runner = QueryRunner(engine)
    scope = find_scope(engine, settings, choice.target, choice.start, choice.end, choice.by_date)
    chosen = where(runner, scope, choice.where)

    def made() -> Report:
        listed = several(runner, chosen, settings, choice.target, what)
        return make(runner, chosen) if listed is None else {"tasks": [], **listed}

    report = runner.settled(made, scope.indices)
    left_out = runner.left_out.as_json()
    return {
        "target": choice.target,
        "indices": scope.indices,
        **{name: value for name, value in (("from", choice.start), ("to", choice.end)) if value},
        "by_date": choice.by_date,
        **({"where": list(choice.where)} if choice.where else {}),
        **report,
        **({"left_out": left_out, "notes": [left_out_note(left_out), *report.get("notes", [])]} if left_out else {}),
    }
