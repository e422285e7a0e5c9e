"""The scorer for multiclass classification: one of several classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import mul
from typing import ClassVar

from scorers.base import Fields, Metric, Row, UnscorableError, finite, mean_of, share_at_most, shown, unwrap
from scorers.classification import CELLS, averages, confusion_matrix, single_label_metrics, table
from scorers.labels import class_names, column_label, columns, numbers, numeric_text, one_class, scalar_label
from scorers.options import check_flag, class_tuple
from scorers.probabilities import SUM_TOLERANCE, calibration_bin, calibration_metric, log_loss, softmax
from scorers.reasons import Reason
from scorers.structured import check_comparable_text


@dataclass(frozen=True, slots=True)
class Multiclass:
    """Scores the predicted class, and the probabilities if the prediction has any.

    The truth is a class index, a label, or a one-hot list. The prediction is a label, a class index, or a row of
    probabilities, logits or 0/1; its class is the first column with the greatest value.

    Options: ``classes``, the class names in column order, for responses without names. ``logits``, whether rows are
    logits (softmax is applied); by default rows with a value outside [0, 1] are. ``probabilities``, whether rows are
    probabilities; by default they are, except that a row of integers or booleans is a one-hot answer without
    probabilities, and a row within [0, 1] whose sum isn't 1 (within 0.02) has only ranks.
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
        ``truth_rank`` is 1-based, ties are ranked in column order; a true class that isn't in the row has no rank, and
        its ``reciprocal_rank`` is 0. Raises UnscorableError for null, NaN, empty or nested lists, and for a text truth
        with an index as the prediction if the classes have no names.
        """
        value = unwrap(prediction.value)
        check_comparable_text(unwrap(truth.value), value)
        if type(value) is dict and value:
            return self._by_name(truth, value)
        if value in ({}, [], ()):
            raise UnscorableError("the prediction is empty", reason=Reason.PREDICTION_EMPTY)
        if isinstance(value, (list, tuple)):
            return self._row(truth, prediction, value)
        if value is None:
            raise UnscorableError("the prediction is null", reason=Reason.PREDICTION_NULL)
        names = self.classes
        truth_label = one_class(truth, names)
        predicted_label = scalar_label(value, names)
        if not names:
            _check_comparable(truth, truth_label, value)
        return outcome(truth_label, predicted_label)

    def _by_name(self, truth: Row, scores: dict[str, float]) -> Fields:
        """Return the fields for an object of class -> score, whose order doesn't matter."""
        names, row = tuple(map(str, scores)), list(scores.values())
        numbers(row, "prediction")
        known = unwrap(truth.value)
        if self.classes:
            truth = Row(one_class(truth, self.classes))
        elif finite(known) and scalar_label(known, ()).removeprefix("CLASS_") not in names:
            text = "the truth is a class index, and nothing connects it with the prediction's names"
            raise UnscorableError(text, reason=Reason.CLASSES_NOT_CONNECTED)
        if len(names) == 1:
            return Multiclass().score(truth, Row(names[0]))
        return replace(self, classes=())._row(truth, Row(row, names), row)

    def _row(self, truth: Row, prediction: Row, row: Sequence[float]) -> Fields:
        total = numbers(row, "prediction")
        names = class_names(prediction, len(row), self.classes)
        truth_label = one_class(truth, names)
        predicted = row.index(max(row))
        predicted_label = column_label(predicted, names)
        if not names:
            _check_comparable(truth, truth_label, row)
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
        forecast = as_probabilities(row, total, self.logits)
        if forecast is not None:
            probability = forecast[predicted]
            fields["probability"] = probability
            fields["calibration_bin"] = calibration_bin(probability)
            if column is not None:
                chance = forecast[column]
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
    return 1 + sum(1 for other in row if other > value) + row[:column].count(value)


def is_one_hot(row: Sequence[float]) -> bool:
    """Return whether a row is an answer (one-hot, votes) without probabilities: it has only integers and booleans."""
    return type(row[0]) is not float and not any(type(value) is float for value in row)


def as_probabilities(row: Sequence[float], total: float, logits: bool | None) -> Sequence[float] | None:
    """Return the row's probabilities, after softmax if it has logits; None if it has neither.

    ``total`` is the row's sum. ``logits`` None: a row with a value outside [0, 1] has logits.
    """
    outside = min(row) < 0.0 or max(row) > 1.0
    if logits or (logits is None and outside):
        return softmax(row)
    return None if outside or abs(total - 1.0) > SUM_TOLERANCE else row


def column_of(truth_label: str, names: tuple[str, ...], width: int) -> int | None:
    """Return the column of a class in a row of ``width`` columns, None if the row has none for it."""
    if names:
        column = columns(names).get(truth_label)
        return column if column is not None and column < width else None
    figure = truth_label.removeprefix("CLASS_")
    return int(figure) if figure.isdecimal() and int(figure) < width else None


def _check_comparable(truth: Row, truth_label: str, prediction: object) -> None:
    # Without class names, a name and an index can never be equal: every answer would silently count as wrong.
    is_text = isinstance(prediction, str) and numeric_text(prediction) is None
    if is_text != truth_label.startswith("CLASS_") or (isinstance(prediction, str) and isinstance(truth.value, str)):
        return
    raise UnscorableError(
        f"the truth {shown(truth.value)} and the prediction {shown(prediction)} are a class name and an index that "
        "nothing connects: set the option classes",
        reason=Reason.CLASSES_NOT_CONNECTED,
    )
