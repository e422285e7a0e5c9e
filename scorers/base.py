"""What a scorer is: all that the author of a new one reads.

A scorer is a pure function from one (truth, prediction) pair to a flat dict of fields, with the roll-ups beside it:
which sums over documents give which metric. A class with a ``name``, ``metrics`` and ``score`` is enough; options are
its dataclass fields. Register it under the entry point group ``request_logger.scorers`` or name it by its dotted path.

The split is that of torchmetrics: ``score`` is its ``update`` (the sufficient statistics of one pair, stored in the
document), ``Metric.compute`` its ``compute`` (the value from the sums that the engine makes of them).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from scorers.reasons import of_side

Fields = dict[str, Any]


class UnscorableError(ValueError):
    """This pair can't be scored; the text says why in words that a data scientist understands.

    ``reason`` is what is stored in the document: a fixed text (200 characters at most), the same for all pairs of its
    kind and with nothing of a pair in it, so that documents can be counted by it. Without one only the error's type is
    stored.
    """

    def __init__(self, text: str, *, reason: str = "") -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a truth or of a response.

    ``value``: a number, text, boolean, object, or a (nested) list of them, as JSON has it.
    ``names``: the column names that came with it (class names of a probability row), empty where there are none.
    """

    value: Any
    names: tuple[str, ...] = ()


# What a metric needs of the documents. Each is one plain aggregation, with no script.


@dataclass(frozen=True, slots=True)
class Count:
    """How many values ``field`` has over the documents (an array of n counts n); without it: how many documents.

    Arrives in ``compute`` as int.
    """

    field: str | None = None


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of a numeric field, 0.0 where no document has it. Arrives as float."""

    field: str


@dataclass(frozen=True, slots=True)
class AtMost:
    """How many documents have the numeric ``field`` at or below ``limit``. Arrives as int."""

    field: str
    limit: float


@dataclass(frozen=True, slots=True)
class Terms:
    """How many documents have each value of a keyword field. Arrives as dict[str, int], exact."""

    field: str


@dataclass(frozen=True, slots=True)
class TermsBy:
    """How many documents have each pair of values of two keyword fields.

    Arrives as dict[value of ``by``, dict[value of ``field``, int]], exact.
    """

    field: str
    by: str


@dataclass(frozen=True, slots=True)
class SumBy:
    """For each value of the integer field ``by``: the count of documents and the sum of each of ``fields``.

    Arrives as dict[int, Bucket].
    """

    fields: tuple[str, ...]
    by: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """The documents of one value of :class:`SumBy`: their count, and the sum of each field by name."""

    count: int
    sums: Mapping[str, float]


Need = Count | Sum | AtMost | Terms | TermsBy | SumBy
Values = Mapping[str, Any]
Value = float | dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Metric:
    """A value that is computed from sums over documents.

    ``needs`` names the sums; ``compute`` gets them under the same keys and returns the value: a float, a dict (a table
    by class), or None where it isn't defined. ``bounds`` are the least and the greatest value it can have, for plots.
    ``higher_is_better`` is None where that can't be said. ``per_class`` marks a table with one entry a class.
    """

    name: str
    needs: Mapping[str, Need]
    compute: Callable[[Values], Value]
    higher_is_better: bool | None = True
    bounds: tuple[float, float] = (0.0, 1.0)
    per_class: bool = False


@runtime_checkable
class Scorer(Protocol):
    """Scores the pairs of one task. The built-in ones are frozen dataclasses whose fields are their options."""

    name: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]

    def score(self, truth: Row, prediction: Row) -> Fields:
        """Return the fields of this pair, for the document's ``metrics`` object.

        Pure: the same pair gives the same fields. Values are numbers, text, booleans or lists of text; a field that
        does not apply is left out (never null, NaN or infinite). Raises UnscorableError, with a reason, where the pair
        can't be scored.
        """
        ...


def ratio(numerator: float, denominator: float) -> float | None:
    """Divide; None where the denominator is 0: the one place where 0/0 is decided, and it is "not defined"."""
    return numerator / denominator if denominator else None


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are defined, None where none is."""
    known = [value for value in values if value is not None]
    return ratio(math.fsum(known), len(known))


def mean_of(
    name: str, field: str, *, higher_is_better: bool | None = True, bounds: tuple[float, float] = (0.0, 1.0)
) -> Metric:
    """Declare the metric ``name`` as the mean of ``field`` over the documents that have it."""
    return Metric(
        name, {"sum": Sum(field), "n": Count(field)}, lambda v: ratio(v["sum"], v["n"]), higher_is_better, bounds
    )


def share_at_most(name: str, field: str, limit: float, of: str) -> Metric:
    """Declare the metric ``name`` as the share of documents with ``field`` <= ``limit`` among those with ``of``."""
    return Metric(name, {"hits": AtMost(field, limit), "n": Count(of)}, lambda v: ratio(v["hits"], v["n"]))


def unwrap(value: Any) -> Any:
    """Take a value out of lists of one: ``[[7]]`` is 7, ``[[0.2, 0.8]]`` is ``[0.2, 0.8]``."""
    while isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    return value


def number(value: Any, what: str) -> float:
    """Read a finite number: a number, boolean (true is 1), numeric text, or a list of one of these.

    ``what`` names it in the error, such as "truth". Raises UnscorableError for anything else, NaN and infinity too.
    """
    value = unwrap(value)
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        text = f"the {what} is {shown(value)}, not a number"
        raise UnscorableError(text, reason=of_side(what, "NOT_NUMBER")) from None
    if not math.isfinite(result):
        raise UnscorableError(f"the {what} is {result}, not a finite number", reason=of_side(what, "NOT_FINITE"))
    return result


def finite(value: Any) -> bool:
    """Return whether a value is a number or boolean that a double can hold: not NaN, infinite or beyond 1e308."""
    try:
        return isinstance(value, (int, float)) and math.isfinite(value)
    except OverflowError:
        return False


def shown(value: Any) -> str:
    """Show a value in an error text, shortened."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = "a huge number"
    return text if len(text) <= 80 else f"{text[:60]}... ({type(value).__name__} of {len(text)} characters)"
