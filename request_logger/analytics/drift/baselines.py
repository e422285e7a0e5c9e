"""What is known of a field in the reference: its cells with their counts, and which values it had. Pure code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """How a field's values are counted: numbers by ranges, anything else by value."""

    NUMBER = "number"
    CATEGORY = "category"


@dataclass(frozen=True, slots=True)
class Counts:
    """The values of a field in some documents.

    ``cells`` are those of the baseline, ``documents`` all documents, ``present`` those with the field, ``ignored``
    those whose value the search engine could not index. ``below`` and ``above`` count numbers beyond the range of the
    reference, ``unseen`` values that it doesn't have (None: unknown); ``examples`` are the most frequent of these.
    """

    documents: int
    present: int
    ignored: int
    cells: tuple[int, ...]
    below: int = 0
    above: int = 0
    unseen: int | None = None
    examples: tuple[str, ...] = ()

    @property
    def values(self) -> int:
        """The number of values: a document may have several."""
        return sum(self.cells)


@dataclass(frozen=True, slots=True)
class Cells:
    """How a field is counted, from the values of the reference alone.

    Numbers: ``edges`` between the ranges (each belongs to the range above it), and the range of all values from ``low``
    to ``high``. Categories: ``values`` with a cell for each, then one for all others; ``known`` are all values of the
    reference, None where there are too many.
    """

    field: str
    kind: Kind
    edges: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 0.0
    values: tuple[str, ...] = ()
    known: tuple[str, ...] | None = None

    @property
    def size(self) -> int:
        """The number of cells."""
        return len(self.edges if self.kind is Kind.NUMBER else self.values) + 1


def without_empty(cells: Cells, counts: Counts) -> tuple[Cells, Counts]:
    """Return a number's cells without the ranges that the reference has nothing in: edges are approximate."""
    if cells.kind is not Kind.NUMBER or not any(counts.cells):
        return cells, counts
    edges: list[float] = []
    kept = [counts.cells[0]]
    for edge, count in zip(cells.edges, counts.cells[1:], strict=True):
        if not kept[-1]:
            # Everything so far is empty: the range goes on.
            kept[-1] = count
        elif count:
            edges.append(edge)
            kept.append(count)
    return replace(cells, edges=tuple(edges)), replace(counts, cells=tuple(kept))


@dataclass(frozen=True, slots=True)
class Baseline:
    """A field's cells and what the reference has in them, when it was counted (ISO 8601)."""

    cells: Cells
    counts: Counts
    made_at: str

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def of(cls, found: Any) -> Baseline:
        """Return the baseline of its JSON. Raises ValueError for anything else."""
        try:
            cells, counts = dict(found["cells"]), dict(found["counts"])
            cells["kind"] = Kind(cells["kind"])
            for name, make in (("edges", _numbers), ("values", _texts), ("known", _known)):
                cells[name] = make(cells[name])
            for name in ("documents", "present", "ignored"):
                counts[name] = _whole(counts[name])
            counts["cells"] = tuple(map(_whole, counts["cells"]))
            counts["examples"] = _texts(counts["examples"])
            made = cls(Cells(**cells), Counts(**counts), str(found["made_at"]))
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"no baseline: {type(error).__name__}") from None
        if len(made.counts.cells) != made.cells.size:
            raise ValueError("no baseline: counts and cells differ")
        return made


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("no baseline: a count is not a whole number")
    return value


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _known(values: Sequence[Any] | None) -> tuple[str, ...] | None:
    return None if values is None else _texts(values)
