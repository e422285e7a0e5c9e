"""The scorer for multilabel classification: any number of labels per prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from scorers.base import Count, Fields, Metric, Row, UnscorableError, finite, mean_of, ratio, shown
from scorers.classification import CELLS, averages, table
from scorers.labels import class_names, class_number, column_label, numbers, scalar_label
from scorers.options import check_flag, check_range, class_tuple
from scorers.probabilities import clipped, is_nearly_within, log_loss, sigmoid
from scorers.reasons import Reason, of_side
from scorers.structured import check_class_text, check_comparable_text

_LOSS = (0.0, float("inf"))


@dataclass(frozen=True, slots=True)
class Multilabel:
    """Scores two sets of labels.

    The truth and the prediction are each a list of labels (text or numbers, possibly empty), one label, an object of
    label -> 0 or 1, or a row with one column per label: 0 and 1, booleans, or for the prediction probabilities. Two
    lists of the same length with numbers within [0, 1] are rows, and so is a list within [0, 1] that has fractions or
    repeats a number; other lists of numbers are sets of class indexes.

    Options: ``threshold``, the probability from which on (>=) a label is predicted. ``classes``, the labels in column
    order, for responses without names. ``indicator``, whether lists of numbers are rows (true) or sets of indexes
    (false). ``logits``, whether the prediction's row has logits (sigmoid is applied).
    """

    name: ClassVar[str] = "multilabel"
    metrics: ClassVar[tuple[Metric, ...]] = (
        mean_of("subset_accuracy", "correct"),
        mean_of("hamming_loss", "hamming_loss", higher_is_better=False),
        mean_of("jaccard", "jaccard"),
        *averages(CELLS, "precision", "recall", "f1", "jaccard"),
        table(CELLS),
        mean_of("log_loss", "log_loss", higher_is_better=False, bounds=_LOSS),
        mean_of("brier", "brier", higher_is_better=False),
        Metric(
            "labels_per_document",
            {"labels": Count("truth_label"), "n": Count("correct")},
            lambda v: ratio(v["labels"], v["n"]),
            None,
            _LOSS,
        ),
    )

    threshold: float = 0.5
    classes: tuple[str, ...] = ()
    indicator: bool | None = None
    logits: bool = False

    def __post_init__(self) -> None:
        """Check the options. Raises ValueError that names the wrong one."""
        check_range("threshold", self.threshold, 0.0, 1.0)
        object.__setattr__(self, "classes", class_tuple("classes", self.classes, least=1))
        check_flag("indicator", self.indicator)
        check_flag("logits", self.logits, optional=False)

    def score(self, truth: Row, prediction: Row) -> Fields:
        """Return the fields of a pair; ``true_positive``, ``false_positive``, ``false_negative`` are lists of labels.

        ``correct`` is 1 if the sets are equal. ``jaccard`` is the size of the intersection divided by that of the
        union, omitted if both are empty. ``hamming_loss`` is the share of wrong labels among all labels, if their
        number is known; ``log_loss`` and ``brier`` are means over the labels, for a row of probabilities. Raises
        UnscorableError for null, NaN, nested lists and rows of different lengths.
        """
        truth_side, prediction_side = _named(truth), _named(prediction)
        check_comparable_text(truth_side.value, prediction_side.value)
        width = self._width(truth_side, prediction_side)
        names = class_names(prediction_side, width, self.classes) or class_names(truth_side, width, self.classes)
        if self.classes and width and width != len(self.classes):
            text = f"the rows have {width} columns, but the option classes {len(self.classes)} names"
            raise UnscorableError(text, reason=Reason.COLUMNS_NOT_CLASSES)
        if width and not names and (_is_text(truth_side.value) or _is_text(prediction_side.value)):
            raise UnscorableError(
                "labels on one side and a row on the other that nothing names: set the option classes",
                reason=Reason.COLUMNS_NOT_NAMED,
            )
        actual = self._labels(truth_side.value, names, width, "truth")
        row = prediction_side.value
        forecast = None
        if width and _is_numeric(row) and len(row) == width:
            numbers(row, "prediction")
            forecast = [sigmoid(value) for value in row] if self.logits else row
            predicted = {column_label(k, names) for k, value in enumerate(forecast) if value >= self.threshold}
        else:
            predicted = self._labels(row, names, width, "prediction")
        columns = {column_label(k, names) for k in range(width or len(names))}
        fields = _sets(actual, predicted, columns)
        if forecast is not None and any(type(value) is float for value in row):
            fields |= _losses(actual, forecast, names)
        return fields

    def prediction_fields(self, prediction: Row) -> Fields:
        """Return the labels as a list, nothing if there is none.

        Raises UnscorableError for what `score` can't read, and where the truth decides whether it is a row or a set.
        """
        side = _named(prediction)
        check_class_text(side.value)
        row = side.value
        width = len(row) if self._is_row(row) else 0
        if self.classes and width and width != len(self.classes):
            text = f"the row has {width} columns, but the option classes {len(self.classes)} names"
            raise UnscorableError(text, reason=Reason.COLUMNS_NOT_CLASSES)
        names = class_names(side, width, self.classes)
        if width:
            numbers(row, "prediction")
            forecast = [sigmoid(value) for value in row] if self.logits else row
            predicted = {column_label(k, names) for k, value in enumerate(forecast) if value >= self.threshold}
        else:
            predicted = self._labels(row, names, 0, "prediction")
        return {"label": sorted(predicted)} if predicted else {}

    def _is_row(self, value: Any) -> bool:
        """Return whether a prediction is a row, whatever the truth is; raises UnscorableError if the truth decides."""
        if self.indicator is False or not _is_numeric(value):
            return False
        if self.indicator or _is_forecast(value, self.logits):
            return True
        if not _is_within(value) and _is_only_set(value):
            return False
        text = f"the list {shown(value)} may be a row, or a set of indexes"
        raise UnscorableError(text, reason=Reason.INDICATOR_UNKNOWN)

    def _width(self, truth: Row, prediction: Row) -> int:
        """Return the number of columns of rows with one column per label; 0 if both sides are sets of labels."""
        if self.indicator is False:
            return 0
        truth_side, prediction_side = truth.value, prediction.value
        truth_is_row, prediction_is_row = _is_numeric(truth_side), _is_numeric(prediction_side)
        are_alike = truth_is_row and prediction_is_row and len(truth_side) == len(prediction_side)
        if truth_is_row and prediction_is_row and not are_alike and self.indicator:
            text = f"the truth has {len(truth_side)} columns, the prediction {len(prediction_side)}"
            raise UnscorableError(text, reason=Reason.LENGTHS_DIFFER)
        within = self.logits or all(_is_within(side) for side in (truth_side, prediction_side) if _is_numeric(side))
        if are_alike and (within or self.indicator):
            is_either = self.indicator is None and _is_either(truth_side) and _is_either(prediction_side)
            return len(prediction_side) if not is_either or self._are_rows(truth, prediction) else 0
        # With a set on the other side, a list of numbers is a row only if it can't be a set of indexes.
        if prediction_is_row and (
            self.indicator or _is_set_of_text(truth_side) or _is_forecast(prediction_side, self.logits)
        ):
            return len(prediction_side)
        return (
            len(truth_side) if truth_is_row and (self.indicator or (_is_set_of_text(prediction_side) and within)) else 0
        )

    def _are_rows(self, truth: Row, prediction: Row) -> bool:
        """Return whether two lists that may be rows or sets of indexes are rows. Raises UnscorableError if unknown."""
        width = len(prediction.value)
        if self.classes and len(self.classes) != width:
            return False
        if width > 1 and width in (len(truth.names), len(prediction.names)):
            return True
        text = f"the lists {shown(truth.value)} and {shown(prediction.value)} may be rows, or sets of indexes"
        raise UnscorableError(text, reason=Reason.INDICATOR_UNKNOWN)

    def _labels(self, value: Any, names: tuple[str, ...], width: int, what: str) -> set[str]:
        if value is None:
            raise UnscorableError(f"the {what} is null", reason=of_side(what, "NULL"))
        is_row = width and _is_numeric(value) and len(value) == width
        if is_row and (self.indicator or not _is_only_set(value)):
            numbers(value, what)
            if any(item not in (0, 1) for item in value):
                text = f"the {what} {shown(value)} has other values than 0 and 1"
                raise UnscorableError(text, reason=of_side(what, "NOT_INDICATOR"))
            return {column_label(k, names) for k, item in enumerate(value) if item}
        listed = value if isinstance(value, (list, tuple)) else [value]
        found = {scalar_label(item, names) for item in listed}
        for item in listed:
            if isinstance(item, float) and 0.0 < item < 1.0:
                text = f"the {what} has {item}, a number between two classes"
                raise UnscorableError(text, reason=of_side(what, "BETWEEN_CLASSES"))
        known = {column_label(k, names) for k in range(width or len(names))}
        if what == "truth" and known and any(each.startswith("CLASS_") for each in found - known):
            text = f"the truth {shown(value)} has an index of none of the {len(known)} columns, counted from 0"
            raise UnscorableError(text, reason=Reason.TRUTH_NO_COLUMN)
        return found


def _named(row: Row) -> Row:
    """Return a row without surrounding lists of one; an object of label -> number as its names and values."""
    value = row.value
    while isinstance(value, (list, tuple)) and len(value) == 1 and isinstance(value[0], (list, tuple, dict)):
        value = value[0]
    if isinstance(value, dict):
        return Row(list(value.values()), tuple(map(str, value)))
    return Row(value, row.names)


def _is_text(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(
        isinstance(item, str) and class_number(item) is None for item in value
    )


def _is_set_of_text(value: Any) -> bool:
    return isinstance(value, str) or _is_text(value)


def _is_numeric(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, (int, float)) for item in value)


def _is_within(row: Sequence[float]) -> bool:
    return all(is_nearly_within(value, value) for value in row)


def _is_either(row: Sequence[float]) -> bool:
    """Return whether a list may be a row of 0 and 1 as well as a set of indexes: it has no others, and none twice."""
    return all(type(item) is not bool and item in (0, 1) for item in row) and len(set(row)) == len(row)


def _is_only_set(row: Sequence[float]) -> bool:
    """Return whether a list must be a set of indexes: whole numbers, none twice, and others than 0 and 1."""
    return (
        len(set(row)) == len(row)
        and any(item not in (0, 1) for item in row)
        and all(finite(item) and item == int(item) for item in row)
    )


def _is_forecast(row: Sequence[float], logits: bool) -> bool:
    """Return whether a list of numbers must have one number per label: it has a fraction, or repeats 0 or 1."""
    return logits or (_is_within(row) and (len(set(row)) < len(row) or any(value not in (0, 1) for value in row)))


def _sets(actual: set[str], predicted: set[str], columns: set[str]) -> Fields:
    fields: Fields = {"correct": int(actual == predicted)}
    sets = {
        "truth_label": actual,
        "predicted_label": predicted,
        "true_positive": actual & predicted,
        "false_negative": actual - predicted,
        "false_positive": predicted - actual,
    }
    fields |= {field: sorted(found) for field, found in sets.items() if found}
    union = actual | predicted
    if union:
        fields["jaccard"] = len(actual & predicted) / len(union)
    if columns:
        fields["hamming_loss"] = len(actual ^ predicted) / len(columns | union)
    return fields


def _losses(actual: set[str], forecast: Sequence[float], names: tuple[str, ...]) -> Fields:
    if not _is_within(forecast):
        return {}
    columns = [column_label(k, names) for k in range(len(forecast))]
    pairs = [(name in actual, clipped(p)) for name, p in zip(columns, forecast, strict=True)]
    # The prediction has no chance for a label that it doesn't have.
    pairs += [(True, 0.0)] * len(actual.difference(columns))
    return {
        "log_loss": math.fsum(log_loss(p if y else 1.0 - p) for y, p in pairs) / len(pairs),
        "brier": math.fsum((p - y) ** 2 for y, p in pairs) / len(pairs),
    }
