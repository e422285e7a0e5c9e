"""The scorer for multiclass classification: one of several classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import ClassVar

from scorers.base import Fields, Metric, Row, UnscorableError, mean_of, share_at_most, shown, unwrap
from scorers.classification import CELLS, averages, confusion_matrix, single_label_metrics, table
from scorers.labels import class_names, class_number, column_label, columns, numbers, one_class, scalar_label
from scorers.options import check_flag, class_tuple
from scorers.probabilities import (
    SUM_TOLERANCE,
    calibration_bin,
    calibration_metric,
    clipped,
    is_nearly_within,
    log_loss,
    softmax,
)
from scorers.reasons import Reason, of_side
from scorers.structured import check_class_text, check_comparable_text


@dataclass(frozen=True, slots=True)
class Multiclass:
    """Scores the predicted class, and the probabilities if the prediction has any.

    The truth is a class index, a label, or a one-hot list. The prediction is a label, a class index, or a row of
    probabilities, logits or 0/1; its class is the first column with the greatest value.

    Options: ``classes``, the class names in column order, for responses without names. ``logits``, whether rows are
    logits (softmax is applied); by default rows with a value outside [0, 1] are, unless they have percentages or
    counts. ``probabilities``, whether rows are probabilities; by default they are, except that a row of integers or
    booleans is a one-hot answer without probabilities, and a row within [0, 1] whose sum isn't 1 (within 0.02) has only
    ranks.
    """

    name: ClassVar[str] = "multiclass"
    metrics: ClassVar[tuple[Metric, ...]] = (
        mean_of("accuracy", "correct"),
        *single_label_metrics(CELLS),
        *averages(CELLS, "precision", "recall", "specificity", "f1"),
        table(CELLS),
        confusion_matrix(),
        mean_of("log_loss", "log_loss", higher_is_better=False, bounds=(0.0, float("inf"))),
        mean_of("brier", "brier", higher_is_better=False, bounds=(0.0, 2.0)),
        *(share_at_most(f"top_{k}_accuracy", "truth_rank", k, of="reciprocal_rank") for k in (1, 3, 5)),
        mean_of("mrr", "reciprocal_rank"),
        calibration_metric("correct", "probability"),
    )

    fractions_are_classes: ClassVar[bool] = False
    """Whether a number between 0 and 1 is the name of a class; else it may be a probability, and is none."""

    classes: tuple[str, ...] = ()
    logits: bool | None = None
    probabilities: bool | None = None

    def __post_init__(self) -> None:
        """Check the options. Raises ValueError that names the wrong one."""
        object.__setattr__(self, "classes", class_tuple("classes", self.classes))
        check_flag("logits", self.logits)
        check_flag("probabilities", self.probabilities)

    def score(self, truth: Row, prediction: Row) -> Fields:
        """Return the fields of a pair; those for probabilities only if the prediction has probabilities.

        ``brier`` is the sum over all classes (scikit-learn's with ``scale_by_half=False``), ``log_loss`` is in nats.
        ``truth_rank`` is 1-based, ties are ranked in column order; a named class that the row doesn't have has the
        probability 0, no rank, and a ``reciprocal_rank`` of 0. Raises UnscorableError for null, NaN, empty or nested
        lists, for an index without a column in the row, and for a text truth with an index as the prediction if the
        classes have no names.
        """
        value = unwrap(prediction.value)
        check_comparable_text(unwrap(truth.value), value)
        if type(value) is dict and value:
            return self._by_name(truth, value)
        if value in ({}, [], ()):
            raise UnscorableError("the prediction is empty", reason=Reason.PREDICTION_EMPTY)
        if isinstance(value, (list, tuple)):
            total = numbers(value, "prediction")
            names = class_names(prediction, len(value), self.classes)
            truth_label = one_class(truth, names)
            if not names:
                _check_comparable(truth, truth_label, value)
            _check_column(truth_label, names, len(value))
            return self._row(truth_label, names, value, total)
        if value is None:
            raise UnscorableError("the prediction is null", reason=Reason.PREDICTION_NULL)
        names = self.classes
        truth_label = one_class(truth, names)
        predicted_label = scalar_label(value, names)
        if not names:
            _check_comparable(truth, truth_label, value)
        if not self.fractions_are_classes:
            _check_no_probability(unwrap(truth.value), value, names)
        return outcome(truth_label, predicted_label)

    def prediction_fields(self, prediction: Row) -> Fields:
        """Return the label, and of a row of probabilities also the greatest, its bin, and its distance from the next.

        Raises UnscorableError for what `score` can't read.
        """
        value = unwrap(prediction.value)
        check_class_text(value)
        if type(value) is dict and value:
            by_name, row = tuple(map(str, value)), list(value.values())
            total = numbers(row, "prediction")
            return {"label": by_name[0]} if len(row) == 1 else self._row_fields(by_name, row, total)
        if value in ({}, [], ()):
            raise UnscorableError("the prediction is empty", reason=Reason.PREDICTION_EMPTY)
        if isinstance(value, (list, tuple)):
            total = numbers(value, "prediction")
            return self._row_fields(class_names(prediction, len(value), self.classes), value, total)
        if value is None:
            raise UnscorableError("the prediction is null", reason=Reason.PREDICTION_NULL)
        label = scalar_label(value, self.classes)
        if not self.fractions_are_classes:
            _check_between("prediction", value, self.classes)
        return {"label": label}

    def _row_fields(self, names: tuple[str, ...], row: Sequence[float], total: float) -> Fields:
        predicted = row.index(max(row))
        fields: Fields = {"label": column_label(predicted, names)}
        if self.probabilities is False or (self.probabilities is None and is_one_hot(row)):
            return fields
        forecast = as_probabilities(row, total, self.logits, self.probabilities)
        if forecast is not None:
            probability = forecast[predicted]
            fields["probability"] = probability
            fields["calibration_bin"] = calibration_bin(probability)
            others = [*forecast[:predicted], *forecast[predicted + 1 :]]
            fields["margin"] = probability - max(others)
        return fields

    def _by_name(self, truth: Row, scores: dict[str, float]) -> Fields:
        """Return the fields for an object of class -> score, whose order doesn't matter."""
        names, row = tuple(map(str, scores)), list(scores.values())
        total = numbers(row, "prediction")
        truth_label = one_class(truth, self.classes) if self.classes else _name_among(names, truth)
        if len(names) == 1:
            return outcome(truth_label, names[0])
        return self._row(truth_label, names, row, total)

    def _row(self, truth_label: str, names: tuple[str, ...], row: Sequence[float], total: float) -> Fields:
        predicted = row.index(max(row))
        predicted_label = column_label(predicted, names)
        fields = outcome(truth_label, predicted_label)
        if self.probabilities is False or (self.probabilities is None and is_one_hot(row)):
            return fields
        column = predicted if fields["correct"] else column_of(truth_label, names, len(row))
        if column is None:
            fields["reciprocal_rank"] = 0.0
        else:
            rank = 1 if column == predicted else rank_of(row, column)
            fields["truth_rank"] = rank
            fields["reciprocal_rank"] = 1.0 / rank
        forecast = as_probabilities(row, total, self.logits, self.probabilities)
        if forecast is not None:
            probability = forecast[predicted]
            fields["probability"] = probability
            fields["calibration_bin"] = calibration_bin(probability)
            # The prediction has no chance for a class that it doesn't have.
            chance = 0.0 if column is None else forecast[column]
            fields["truth_probability"] = chance
            fields["log_loss"] = log_loss(chance)
            squares = sum(map(mul, forecast, forecast))
            fields["brier"] = max(squares - chance * chance, 0.0) + (1.0 - chance) ** 2
        return fields


def outcome(truth_label: str, predicted_label: str) -> Fields:
    """Return the fields of two class names: a true positive if equal, else a false negative and a false positive."""
    if truth_label == predicted_label:
        return {
            "correct": 1,
            "truth_label": truth_label,
            "predicted_label": predicted_label,
            "true_positive": [truth_label],
        }
    return {
        "correct": 0,
        "truth_label": truth_label,
        "predicted_label": predicted_label,
        "false_negative": [truth_label],
        "false_positive": [predicted_label],
    }


def rank_of(row: Sequence[float], column: int) -> int:
    """Return the 1-based rank of a column, the greatest value first; ties are ranked in column order."""
    value = row[column]
    return 1 + sum([other > value for other in row]) + row[:column].count(value)


def is_one_hot(row: Sequence[float]) -> bool:
    """Return whether a row is an answer (one-hot, votes) without probabilities: it has only integers and booleans."""
    return type(row[0]) is not float and float not in map(type, row)


def as_probabilities(
    row: Sequence[float], total: float, logits: bool | None, probabilities: bool | None = None
) -> Sequence[float] | None:
    """Return the row's probabilities, after softmax if it has logits; None if it has neither.

    ``total`` is the row's sum. Values outside [0, 1] by no more than rounding are clipped. ``logits`` None: any other
    row with a value outside [0, 1] has logits, unless ``probabilities`` is true, or it has percentages or counts.
    """
    if logits:
        return softmax(row)
    low, high = min(row), max(row)
    is_within = low >= 0.0 and high <= 1.0
    if abs(total - 1.0) <= SUM_TOLERANCE and is_nearly_within(low, high):
        return row if is_within else [clipped(value) for value in row]
    if logits is not None or probabilities or is_within:
        return None
    return None if low >= 0.0 and _are_parts(row, total) else softmax(row)


def _are_parts(row: Sequence[float], total: float) -> bool:
    """Return whether values of 0 or more are percentages or whole numbers, such as the votes of a forest.

    Softmax would make probabilities of nearly 0 and 1 of them.
    """
    return abs(total - 100.0) <= 100.0 * SUM_TOLERANCE or all(value % 1.0 == 0.0 for value in row)


def column_of(truth_label: str, names: tuple[str, ...], width: int) -> int | None:
    """Return the column of a class in a row of ``width`` columns, None if the row has none for it."""
    if names:
        column = columns(names).get(truth_label)
        return column if column is not None and column < width else None
    figure = truth_label.removeprefix("CLASS_")
    return int(figure) if figure.isdecimal() and int(figure) < width else None


def _name_among(names: tuple[str, ...], truth: Row) -> str:
    """Return the class name of a truth for an object of class -> score without the option ``classes``.

    An object's order says nothing, so an index isn't a position in it.
    """
    value = unwrap(truth.value)
    if isinstance(value, str) and value in names:
        return value
    if isinstance(value, (list, tuple, dict)):
        return one_class(truth, names)
    found = one_class(truth, ())
    own = found.removeprefix("CLASS_")
    if own == found or own in names or all(class_number(name) is not None for name in names):
        return own
    text = "the truth is a class index, and nothing connects it with the prediction's names"
    raise UnscorableError(text, reason=Reason.CLASSES_NOT_CONNECTED)


def _check_column(truth_label: str, names: tuple[str, ...], width: int) -> None:
    """Raise UnscorableError where a truth is an index, and no column has it: the indexes may start at 1."""
    if column_of(truth_label, names, width) is None and (not names or truth_label.startswith("CLASS_")):
        text = f"the truth {truth_label} is none of the {width} columns, which are counted from 0"
        raise UnscorableError(text, reason=Reason.TRUTH_NO_COLUMN)


def _check_no_probability(truth: object, prediction: object, names: tuple[str, ...]) -> None:
    """Raise UnscorableError where one of two scalars may be a probability: no text, or only one of them is text."""
    if isinstance(truth, str) and isinstance(prediction, str):
        return
    for what, value in (("truth", truth), ("prediction", prediction)):
        _check_between(what, value, names)


def _check_between(what: str, value: object, names: tuple[str, ...]) -> None:
    """Raise UnscorableError for a scalar that may be a probability, and isn't the name of a class."""
    figure = class_number(value) if isinstance(value, str) else value
    if isinstance(figure, float) and 0.0 < figure < 1.0 and repr(figure) not in names:
        text = f"the {what} is {figure}, a number between two classes"
        raise UnscorableError(text, reason=of_side(what, "BETWEEN_CLASSES"))


def _check_comparable(truth: Row, truth_label: str, prediction: object) -> None:
    # Without class names, a name and an index can never be equal: every answer would silently count as wrong.
    is_text = isinstance(prediction, str) and class_number(prediction) is None
    if is_text != truth_label.startswith("CLASS_") or (isinstance(prediction, str) and isinstance(truth.value, str)):
        return
    raise UnscorableError(
        f"the truth {shown(truth.value)} and the prediction {shown(prediction)} are a class name and an index that "
        "nothing connects: set the option classes",
        reason=Reason.CLASSES_NOT_CONNECTED,
    )
