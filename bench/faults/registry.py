"""The type of a row, and the registry of all rows, which their modules fill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.faults.stage import Stage

Happen = Callable[[Stage], None]


@dataclass(frozen=True, slots=True)
class Row:
    """A fault, with its description, and the settings and number of nodes of its engine.

    ``only_named``: the row takes long, and runs only if it is named.
    """

    name: str
    what: str
    happen: Happen
    nodes: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    only_named: bool = False


ROWS: dict[str, Row] = {}


def row(what: str, nodes: int = 1, *, only_named: bool = False, **settings: str) -> Callable[[Happen], Happen]:
    """Register a function as a row with its name; ``settings`` are the engine's, with __ for their dots."""

    def add(happen: Happen) -> Happen:
        named = {name.replace("__", "."): value for name, value in settings.items()}
        ROWS[happen.__name__] = Row(happen.__name__, what, happen, nodes, named, only_named)
        return happen

    return add
