"""The interface of scorers: everything that the author of a new scorer needs.

A scorer is a pure function from one (truth, prediction) pair to a flat dict of fields, together with its roll-ups: the
metrics that are computed from sums over documents. A class with ``name``, ``metrics`` and ``score`` is enough; options
are its dataclass fields. Register it under the entry point group ``request_logger.scorers``, or refer to it by its
dotted path.

The structure is that of torchmetrics: ``score`` is its ``update`` (the sufficient statistics of one pair, stored in the
document), ``Metric.compute`` its ``compute`` (the value from the search engine's sums over documents).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from scorers.reasons import of_side

Fields = dict[str, Any]


class UnscorableError(ValueError):
    """The pair can't be scored; the text explains why to a data scientist.

    ``reason`` is stored in the document: a fixed text (at most 200 characters), the same for all pairs of its kind and
    without any content of a pair, so that documents can be counted by it. Without a reason only the error's type is
    stored.
    """

    def __init__(self, text: str, *, reason: str = "") -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a truth or of a response.

    ``value``: a number, text, boolean, object, or a (nested) list of these, as parsed from JSON.
    ``names``: its column names (the class names of a row of probabilities), empty if there are none.
    """

    value: Any
    names: tuple[str, ...] = ()


# What a metric needs from the documents. Each need is a single aggregation, without a script.


@dataclass(frozen=True, slots=True)
class Count:
    """The number of values of ``field`` (an array of n values counts n); without a field the number of documents.

    Passed to ``compute`` as int.
    """

    field: str | None = None


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of a numeric field, 0.0 if no document has it. Passed to ``compute`` as float."""

    field: str


@dataclass(frozen=True, slots=True)
class AtMost:
    """The number of documents whose numeric ``field`` is at most ``limit``. Passed to ``compute`` as int."""

    field: str
    limit: float


@dataclass(frozen=True, slots=True)
class Having:
    """The number of documents whose keyword ``field`` has a value. Passed to ``compute`` as int."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Terms:
    """The number of documents per value of a keyword field. Passed to ``compute`` as dict[str, int], exact."""

    field: str


@dataclass(frozen=True, slots=True)
class TermsBy:
    """The number of documents per pair of values of two keyword fields.

    Passed to ``compute`` as dict[value of ``by``, dict[value of ``field``, int]], exact.
    """

    field: str
    by: str


@dataclass(frozen=True, slots=True)
class SumBy:
    """Per value of the integer field ``by``: the number of documents, and the sum of each of ``fields``.

    Passed to ``compute`` as dict[int, Bucket].
    """

    fields: tuple[str, ...]
    by: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """The documents with one value of :class:`SumBy`'s field: their number, and the sum of each field by name."""

    count: int
    sums: Mapping[str, float]


Need = Count | Sum | AtMost | Having | Terms | TermsBy | SumBy
Values = Mapping[str, Any]
Value = float | dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that is computed from sums over documents.

    ``needs`` names the sums; ``compute`` receives them with the same keys and returns the value: a float, a dict (a
    table by class), or None if it isn't defined. ``bounds`` are the lowest and highest possible values, for plots.
    ``higher_is_better`` is None if neither direction is better. ``per_class`` marks a table with one entry per class.
    """

    name: str
    needs: Mapping[str, Need]
    compute: Callable[[Values], Value]
    higher_is_better: bool | None = True
    bounds: tuple[float, float] = (0.0, 1.0)
    per_class: bool = False


@runtime_checkable
class Scorer(Protocol):
    """Scores the pairs of one task. Built-in scorers are frozen dataclasses whose fields are their options."""

    name: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]

    def score(self, truth: Row, prediction: Row) -> Fields:
        """Return the fields of a pair, for the document's ``metrics`` object.

        Pure: the same pair has the same fields. Values are numbers, text, booleans or lists of text; a field that
        doesn't apply is omitted (never null, NaN or infinite). Raises UnscorableError, with a reason, if the pair
        can't be scored.
        """
        ...


@runtime_checkable
class ReadsResponses(Protocol):
    """A scorer that also reads a response by itself, before there is a truth. Optional: `score` alone is enough."""

    def prediction_fields(self, prediction: Row) -> Fields:
        """Return what a response says by itself, for the document's ``prediction`` object: some of RESPONSE_FIELDS.

        Pure, and in agreement with `score`: ``label`` is what `score` calls ``predicted_label``. What the response
        doesn't tell is omitted. Raises UnscorableError if the response can't be read; the document then has no such
        object.
        """
        ...


LABEL = "label"
RESPONSE_FIELDS = (
    LABEL,
    "probability",
    "positive_probability",
    "score_bin",
    "calibration_bin",
    "margin",
    "value",
)
"""The fields of :class:`ReadsResponses`: all numbers, but ``label``, which is a text or a list of texts.

``probability`` is that of the predicted class, ``margin`` its distance from the next one, ``value`` a predicted number.
The bins are those of scorers.probabilities.
"""


def ratio(numerator: float, denominator: float) -> float | None:
    """Return a quotient, None ("not defined") if the denominator is 0. All metrics use it, so 0/0 is decided here."""
    return numerator / denominator if denominator else None


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the defined values, None if no value is defined."""
    known = [value for value in values if value is not None]
    return ratio(math.fsum(known), len(known))


def mean_of(
    name: str, field: str, *, higher_is_better: bool | None = True, bounds: tuple[float, float] = (0.0, 1.0)
) -> Metric:
    """Return the metric ``name``: the mean of ``field`` over the documents that have it."""
    return Metric(
        name, {"sum": Sum(field), "n": Count(field)}, lambda v: ratio(v["sum"], v["n"]), higher_is_better, bounds
    )


def share_at_most(name: str, field: str, limit: float, of: str) -> Metric:
    """Return the metric ``name``: the share of documents with ``field`` <= ``limit`` among those with ``of``."""
    return Metric(name, {"hits": AtMost(field, limit), "n": Count(of)}, lambda v: ratio(v["hits"], v["n"]))


def share_having(name: str, field: str, value: str) -> Metric:
    """Return the metric ``name``: the share of documents with a value among those that have the keyword ``field``."""
    return Metric(name, {"hits": Having(field, value), "n": Count(field)}, lambda v: ratio(v["hits"], v["n"]), None)


def unwrap(value: Any) -> Any:
    """Return a value without surrounding lists of one: ``[[7]]`` is 7, ``[[0.2, 0.8]]`` is ``[0.2, 0.8]``."""
    while isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    return value


def number(value: Any, what: str) -> float:
    """Return a finite number from a number, a boolean (true is 1), numeric text, or a list of one of these.

    ``what`` names the value in errors, such as "truth". Raises UnscorableError for any other value, NaN and infinity
    included.
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
    """Return whether a value is a boolean, or a number with a finite double (not NaN, infinite or beyond 1.8e308)."""
    try:
        return isinstance(value, (int, float)) and math.isfinite(value)
    except OverflowError:
        return False


def shown(value: Any) -> str:
    """Return a value's repr for an error text, shortened."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = "a huge number"
    return text if len(text) <= 80 else f"{text[:60]}... ({type(value).__name__} of {len(text)} characters)"
